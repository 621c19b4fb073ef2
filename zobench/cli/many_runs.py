"""Commands on many runs: make them, compare them, show them, hold a build to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DEFAULTS, JsonFlag, Out, RunsArgument, Settings, Trackers
from .root import app


@app.command(rich_help_panel="Many runs")
def suite(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A suite file, in TOML.")],
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time; locally 1, on a cluster what it can hold.", min=1),
    ] = None,
    out: Out = "runs",
    executor: Annotated[
        str, typer.Option(help="Where runs are carried out; see: zobench list executors.")
    ] = "local",
    cpus: Annotated[
        int | None, typer.Option("--cpus-per-run", help="Cores of each run.", show_default=False)
    ] = None,
    gpus: Annotated[
        float, typer.Option("--gpus-per-run", help="GPUs of each run, or a share of one.")
    ] = 0.0,
    memory: Annotated[
        float, typer.Option("--memory-per-run", help="GiB of each run; 0: the engine's default.")
    ] = 0.0,
    address: Annotated[str | None, typer.Option(help="Ray: host:port, auto, or local.")] = None,
    partition: Annotated[str | None, typer.Option(help="SLURM: the partition.")] = None,
    gres: Annotated[str | None, typer.Option(help="SLURM: e.g. gpu:1.")] = None,
    array_max: Annotated[
        int | None, typer.Option(help="SLURM: jobs of the array that run at a time.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="executor.NAME=VALUE", help="Another parameter of the executor."
        ),
    ] = None,
    trackers: Trackers = None,
    as_json: JsonFlag = False,
) -> None:
    """Run what is missing of a suite: optimizers x encoders x datasets x spaces x seeds."""
    from zobench.config import parse_overrides
    from zobench.contracts.executor import Resources

    from .suite import Engine, run_suite_file

    named = {
        "address": address,
        "partition": partition,
        "gres": gres,
        "array_max": array_max,
    }
    engine = Engine(
        name=executor,
        jobs=jobs,
        resources=Resources(cpus, gpus, memory),
        settings={
            **{name: value for name, value in named.items() if value is not None},
            **parse_overrides(settings or [], ("executor",)).get("executor", {}),
        },
    )
    if not run_suite_file(path, out, engine, trackers or [], as_json):
        raise typer.Exit(1)


@app.command(rich_help_panel="Many runs")
def report(
    runs: RunsArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    suite: Annotated[
        Path | None, typer.Option(help="Suite file that names the targets and the title.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    most: Annotated[
        int | None,
        typer.Option("--sample", help="At most so many runs, evenly of all optimizers.", min=1),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
) -> None:
    """Make one self-contained HTML page about many runs."""
    from zobench.records.urls.copies import fetch

    from .report import write_report

    write_report([fetch(each) for each in runs], out, suite, title, force, most)


@app.command(rich_help_panel="Many runs")
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A run folder, or a folder of runs; or its URL.")
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Likewise; A if it is not given.")
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
    from zobench.records.urls.copies import fetch

    from .compare import compare_runs

    labels = (optimizer_a, optimizer_b)
    compare_runs(fetch(a), fetch(b or a), labels, margins or [], export, force, as_json)


@app.command(rich_help_panel="Many runs")
def gate(
    runs: RunsArgument,
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
    from zobench.records.urls.copies import fetch

    from .gate import hold_to_baseline

    if not hold_to_baseline(
        [fetch(each) for each in runs], baseline, update, margins or [], as_json, markdown
    ):
        raise typer.Exit(1)


@app.command(rich_help_panel="Many runs")
def paper(
    product: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="table, fig2a, fig2b, fig3, fig4, universality, or all of them."
        ),
    ],
    preset: Annotated[
        str, typer.Option(help="quick: minutes on two cores; full: the paper's settings.")
    ] = "quick",
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="One more row; see: zobench list methods."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="A row to leave out. May be repeated."),
    ] = None,
    diseases: Annotated[
        list[str] | None,
        typer.Option("--disease", metavar="NAME", help="Instead of the paper's three. Repeatable."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Instead of the preset's.", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the preset's.", min=1)] = None,
    transfer: Annotated[
        list[str] | None,
        typer.Option(
            "--transfer-to",
            metavar="ENCODER",
            help="Also carry the noise there; universality only.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time.", min=1)] = 1,
    form: Annotated[
        str, typer.Option("--format", help="Of tables: terminal, html, latex, markdown or csv.")
    ] = "terminal",
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="For runs, answers and figures.")
    ] = "runs/paper",
) -> None:
    """Reproduce the paper's table and figures, with the published numbers beside ours."""
    from zobench.config import OWNERS, RunConfig, parse_overrides
    from zobench.errors import ConfigError
    from zobench.records.urls.copies import is_url

    from .paper import chosen, make_paper

    if is_url(out):
        raise ConfigError(
            f"--out is {out!r}, but must be a folder: figures are drawn beside the runs"
        )
    overrides = parse_overrides(settings or [], (*OWNERS, "method"))
    of_methods = overrides.pop("method", {})
    base = RunConfig(
        encoder=encoder,
        dataset=dataset,
        data_root=data_root,
        device=device,
        precision=precision,
        overrides=overrides,
    )
    rows = (methods or [], without or [])
    wanted = chosen(preset, seeds, epochs, diseases or [], *rows, of_methods)
    if not make_paper(product, wanted, base, Path(out), jobs, form, transfer or []):
        raise typer.Exit(1)
