"""``zobench suite``: carries out the missing runs of a suite file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from . import completion
from .options import JsonFlag, Out, Trackers


def suite(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="A suite file, in TOML; or a suite: zobench list suites.",
            autocompletion=completion.suites,
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time; default: 1 locally, all that fit on a cluster.", min=1, max=1_000
        ),
    ] = None,
    out: Out = "runs",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the datasets for which the file names none.")
    ] = None,
    show: Annotated[
        bool,
        typer.Option("--print", help="Print the suite file as one of your own, and start nothing."),
    ] = False,
    executor: Annotated[
        str, typer.Option(help="Executor of the runs; see: zobench list executors.")
    ] = "local",
    cpus: Annotated[
        int | None, typer.Option("--cpus-per-run", help="Cores of each run.", show_default=False)
    ] = None,
    gpus: Annotated[
        float, typer.Option("--gpus-per-run", help="GPUs of each run, or a share of one.")
    ] = 0.0,
    memory: Annotated[
        float, typer.Option("--memory-per-run", help="GiB per run; 0: the executor's default.")
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what the runs will send, cost and take; start none."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the missing runs of a suite: optimizers x encoders x datasets x diseases x seeds, and more."""
    from zobench.config import parse_overrides
    from zobench.contracts.executor import Resources
    from zobench.errors import Interrupted
    from zobench.registry.discovery import load_registry
    from zobench.suite.engine import Engine
    from zobench.suite.file import Problems, read_suite
    from zobench.suite.named_suites import copy_of, suite_file
    from zobench.suite.planning import require_sound
    from zobench.suite.suite_run import run_suite_file

    from .display.board import board_for
    from .display.console import error_console
    from .display.forecast import print_suite_forecast
    from .display.progress import ConsoleListener
    from .display.run_lists import print_suite

    path = suite_file(name)
    if show:
        typer.echo(copy_of(path), nl=False)
        return
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
    if dry_run:
        problems, registry = Problems(), load_registry()
        engine.require_known(registry)
        declared = read_suite(path, problems, data_root)
        require_sound(declared, path, registry, problems)
        print_suite_forecast(declared, as_json)
        return
    with ExitStack() as planning:
        result = run_suite_file(
            path,
            out,
            engine,
            trackers=trackers or [],
            data_root=data_root,
            listener=planning.enter_context(ConsoleListener()),
            board_for=board_for,
            note=lambda text: error_console().print(text, markup=False),
            planned=planning.close,
        )
    print_suite(result, out, as_json)
    if result.running.unfinished:
        count, done = len(result.running.standings), len(result.running.those("done"))
        raise Interrupted(
            f"stopped; everything so far is saved. The same command goes on: {count} runs, {done} done"
        )
    if not result.complete:
        raise typer.Exit(max(result.running.exit_codes.values()))
