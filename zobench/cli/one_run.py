"""Commands on one run: make it, go on with it, look at it, check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zobench.config import RunConfig, parse_overrides

from .options import DEFAULTS, JsonFlag, MovedTo, Out, RunFolderArgument, Settings, Trackers
from .root import app

if TYPE_CHECKING:
    from zobench.records.result import RunResult


@app.command(rich_help_panel="One run")
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
    encoder_url: Annotated[
        str | None, typer.Option(help="Address of a service; the same as --set encoder.url=…")
    ] = None,
    quantize: Annotated[
        int, typer.Option(help="8: round pixels on the way to a local encoder, as pictures do.")
    ] = DEFAULTS.quantize,
    max_cost: Annotated[
        float, typer.Option(help="What a service may bill in all, by encoder.price; 0: no limit.")
    ] = DEFAULTS.max_cost,
    settings: Settings = None,
    out: Out = "runs",
    trackers: Trackers = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep all answers, for zobench replay.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run one optimizer against one encoder and score what it found."""
    from zobench.records.urls.copies import published
    from zobench.runs.lifecycle import start_run

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
        quantize=quantize,
        max_cost=max_cost,
        overrides=parse_overrides(settings or []),
    )
    if encoder_url is not None:
        config = config.with_settings("encoder", url=encoder_url)
    with ConsoleListener() as listener, published(out) as folder:
        result = start_run(
            config, folder, listener=listener, trackers=trackers or [], record=record
        )
    _print(result, as_json)


@app.command(rich_help_panel="One run")
def resume(
    path: RunFolderArgument,
    trackers: Trackers = None,
    encoder_url: MovedTo = None,
    max_cost: Annotated[
        float | None, typer.Option(help="What the service may bill in all, if not as before.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a run that was interrupted or killed."""
    from zobench.records.urls.copies import published_run
    from zobench.runs.lifecycle import resume_run

    from .console import ConsoleListener

    with ConsoleListener() as listener, published_run(path) as folder:
        result = resume_run(
            folder,
            listener=listener,
            trackers=trackers or [],
            encoder_url=encoder_url,
            max_cost=max_cost,
        )
    _print(result, as_json)


@app.command(rich_help_panel="One run")
def show(
    path: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder, or a folder of runs; or its URL.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show a stored run again, finished or not; or list all runs of a folder."""
    from zobench.records import run_folder as store
    from zobench.records.result import read_result
    from zobench.records.urls.copies import fetch

    folder = fetch(path)
    if store.is_run(folder) or not store.run_folders(folder):
        _print(read_result(folder), as_json)
    else:
        _print_all(folder, as_json)


def _print(result: RunResult, as_json: bool) -> None:
    from .console import output_console
    from .tables import print_result

    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
    else:
        print_result(result, output_console())


def _print_all(path: Path, as_json: bool) -> None:
    from zobench.records.summary_line import read_headlines

    from .console import output_console
    from .many_tables import print_runs

    runs = list(read_headlines(path))
    if as_json:
        print(json.dumps([run.as_dict() for run in runs], allow_nan=False))
    else:
        print_runs(runs, output_console())


@app.command(rich_help_panel="One run")
def verify(
    path: RunFolderArgument,
    queries: Annotated[int, typer.Option(help="Replay at least so many queries.", min=1)] = 1280,
    encoder_url: MovedTo = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay the beginning of a stored run and compare it with its trace; exit 1 if it differs."""
    from zobench.records.urls.copies import fetch

    from .verify import verify as verify_stored

    if not verify_stored(fetch(path), queries, encoder_url, as_json):
        raise typer.Exit(1)


@app.command(rich_help_panel="One run")
def replay(path: RunFolderArgument, as_json: JsonFlag = False) -> None:
    """Run a recorded run's optimizer on its answers, without the encoder.

    Exits with 1 if it ends with another edit, with 2 if it asks what was not recorded.
    """
    from dataclasses import asdict

    from zobench.records.urls.copies import fetch
    from zobench.runs.recorder import replay_run

    from .console import output_console

    found = replay_run(fetch(path))
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
