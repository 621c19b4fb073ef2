"""The commands; each imports what it needs only when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import __version__
from ..config import RunConfig, parse_overrides
from .plugin import app as plugin_app

if TYPE_CHECKING:
    from ..results import RunResult

DEFAULTS = RunConfig()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

app.add_typer(plugin_app, name="plugin")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zobench {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Which black-box optimizer buys the most fairness per query?"""


JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="OWNER.NAME=VALUE", help="A parameter, e.g. optimizer.step=0.02."
    ),
]
Trackers = Annotated[
    list[str] | None,
    typer.Option("--tracker", metavar="NAME", help="See: zobench list trackers. May be repeated."),
]
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


@app.command()
def run(
    optimizer: Annotated[
        str, typer.Option(help="See: zobench list optimizers.")
    ] = DEFAULTS.optimizer,
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    disease: Annotated[str, typer.Option(help="Finding to predict.")] = DEFAULTS.disease,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    space: Annotated[
        str, typer.Option(help="Search space: pixel, lowres:<k>, dct:<k> or patch:<p>.")
    ] = DEFAULTS.space,
    box: Annotated[
        float, typer.Option(help="Largest absolute value of the edit; 0 for none.")
    ] = DEFAULTS.box,
    seed: Annotated[int, typer.Option(help="Root of all random streams.")] = DEFAULTS.seed,
    budget: Annotated[int, typer.Option(help="Queries to spend, in images.")] = DEFAULTS.budget,
    batch_size: Annotated[
        int, typer.Option(help="Images a minibatch of the objective.")
    ] = DEFAULTS.batch_size,
    penalty: Annotated[float, typer.Option(help="Lambda of the objective.")] = DEFAULTS.penalty,
    backward_cost: Annotated[
        int, typer.Option(help="Queries that one image's backward pass counts for.")
    ] = DEFAULTS.backward_cost,
    heads: Annotated[
        str, typer.Option(help="Training of the linear heads: converged or paper.")
    ] = DEFAULTS.heads,
    snapshots: Annotated[
        int, typer.Option(help="Log-spaced query counts to keep the edit at; FPQ sees only these.")
    ] = DEFAULTS.snapshots,
    replicates: Annotated[
        int, typer.Option(help="Bootstrap resamples behind every interval.")
    ] = DEFAULTS.replicates,
    tolerance: Annotated[
        float, typer.Option(help="Points of accuracy that an edit may cost.")
    ] = DEFAULTS.tolerance,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    trackers: Trackers = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep all answers, for zobench replay.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run one optimizer against one encoder and score what it found."""
    from ..execution import start_run
    from .console import ConsoleListener

    config = RunConfig(
        optimizer=optimizer,
        encoder=encoder,
        dataset=dataset,
        disease=disease,
        data_root=data_root,
        space=space,
        box=box,
        seed=seed,
        budget=budget,
        batch_size=batch_size,
        penalty=penalty,
        backward_cost=backward_cost,
        heads=heads,  # type: ignore[arg-type]
        snapshots=snapshots,
        replicates=replicates,
        tolerance=tolerance,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or []),
    )
    with ConsoleListener() as listener:
        result = start_run(config, out, listener=listener, trackers=trackers or [], record=record)
    _print(result, as_json)


@app.command()
def resume(path: RunFolderArgument, trackers: Trackers = None, as_json: JsonFlag = False) -> None:
    """Go on with a run that was interrupted or killed."""
    from ..execution import resume_run
    from .console import ConsoleListener

    with ConsoleListener() as listener:
        result = resume_run(path, listener=listener, trackers=trackers or [])
    _print(result, as_json)


@app.command()
def show(path: RunFolderArgument, as_json: JsonFlag = False) -> None:
    """Show a stored run again, finished or not."""
    from ..results import read_result

    _print(read_result(path), as_json)


def _print(result: RunResult, as_json: bool) -> None:
    from .console import output_console
    from .tables import print_result

    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
    else:
        print_result(result, output_console())


@app.command()
def suite(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A suite file, in TOML.")],
    jobs: Annotated[int, typer.Option(help="Runs at a time, each in a process of its own.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    trackers: Trackers = None,
    as_json: JsonFlag = False,
) -> None:
    """Run what is missing of a suite: optimizers x encoders x datasets x spaces x seeds."""
    from .suite import run_suite_file

    if not run_suite_file(path, out, jobs, trackers or [], as_json):
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a folder of runs.")],
    b: Annotated[
        Path | None, typer.Argument(metavar="B", help="Likewise; A if it is not given.")
    ] = None,
    optimizer_a: Annotated[
        str | None, typer.Option("--a", metavar="LABEL", help="Only this optimizer of A.")
    ] = None,
    optimizer_b: Annotated[
        str | None, typer.Option("--b", metavar="LABEL", help="Only this optimizer of B.")
    ] = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="What B may lose and still be no worse."
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all pairs to a .csv or .parquet file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the exported file.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether B is better than A, and how sure that is; paired by problem and seed."""
    from .compare import compare_runs

    labels = (optimizer_a, optimizer_b)
    compare_runs(a, b or a, labels, margins or [], export, force, as_json)


@app.command()
def replay(path: RunFolderArgument, as_json: JsonFlag = False) -> None:
    """Run a recorded run's optimizer on its answers, without the encoder; exit 1 if it differs."""
    from dataclasses import asdict

    from ..recording import replay_run
    from .console import output_console

    found = replay_run(path)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        edit = "the edit that the run ended with" if found.same_edit else "ANOTHER edit"
        output_console().print(
            f"{found.asks} asks, {found.queries:,} queries, answered from the record; the optimizer "
            f"ends with {edit}",
            soft_wrap=True,
        )
    if not found.same_edit:
        raise typer.Exit(1)


@app.command()
def verify(
    path: RunFolderArgument,
    queries: Annotated[int, typer.Option(help="Replay at least so many queries.", min=1)] = 1280,
    as_json: JsonFlag = False,
) -> None:
    """Replay the beginning of a stored run and compare it with its trace; exit 1 if it differs."""
    from .verify import verify as verify_stored

    if not verify_stored(path, queries, as_json):
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    suite: Annotated[
        Path | None, typer.Option(help="Suite file that names the targets and the title.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
) -> None:
    """Make one self-contained HTML page about many runs."""
    from .report import write_report

    write_report(runs, out, suite, title, force)


@app.command()
def gate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders of runs.")
    ],
    baseline: Annotated[Path, typer.Option(help="What the runs are held to.")] = Path(
        "baseline.json"
    ),
    update: Annotated[bool, typer.Option("--update", help="Write the baseline.")] = False,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="What may be lost; with --update only."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A table for a CI job's summary page.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fail (exit 1) if fairness per query fell below a baseline."""
    from .gate import hold_to_baseline

    if not hold_to_baseline(runs, baseline, update, margins or [], as_json, markdown):
        raise typer.Exit(1)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="optimizers, encoders, datasets, spaces, …")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, with its parameters.")] = None,
    as_json: JsonFlag = False,
    every: Annotated[
        bool, typer.Option("--all", help="Name and count the members of families too.")
    ] = False,
) -> None:
    """List what is installed: optimizers, encoders, datasets and what plugins bring."""
    from .listing import list_plugins

    list_plugins(kind, name, as_json, every)


@app.command()
def probe(
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    disease: Annotated[str, typer.Option(help="Finding to predict.")] = DEFAULTS.disease,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    images: Annotated[int, typer.Option(help="Use at most so many images.", min=20)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a linear head reads from an encoder, by patient-grouped cross-validation."""
    from ..probing import probe_encoder
    from .console import ConsoleListener, output_console

    config = RunConfig(
        encoder=encoder,
        dataset=dataset,
        disease=disease,
        data_root=data_root,
        seed=seed,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or []),
    )
    with ConsoleListener() as listener:
        found = probe_encoder(config, images, listener)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    console = output_console()
    console.print(
        f"{found.images:,} images of {found.patients:,} patients, {found.folds} folds by patient"
    )
    for name, value in (("sensitive attribute", found.sensitive), (disease, found.disease)):
        console.print(f"  {name:<22}{value.accuracy:6.1f} % accuracy   {value.auc:6.1f} % AUC")


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="Weights to make.")] = "vit-mae",
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and weights.")] = Path(
        "pretrained"
    ),
    images: Annotated[
        Path | None, typer.Option(help="Folder of unlabelled X-rays to learn from as well.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="recipe.NAME=VALUE", help="A number of the recipe."),
    ] = None,
) -> None:
    """Make bundled weights again, or others; resumes where it was stopped."""
    from ..plugins import load_registry
    from ..pretraining import PretrainingRequest, dataset_maker
    from .console import ConsoleListener, output_console

    registry = load_registry()
    offer, _ = registry.find("pretrainings", recipe)
    request = PretrainingRequest(out, images, dataset_maker(registry))
    overrides = parse_overrides(settings or [], owners=("recipe",)).get("recipe", {})
    with ConsoleListener() as listener:
        weights = offer.plugin.make(request, overrides, "recipe").run(listener)
    output_console().print(f"weights: {weights}", soft_wrap=True)


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check this installation: versions, devices, caches, plugins, and what is missing."""
    from .checkup import examine

    examine(as_json)
