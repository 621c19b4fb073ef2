"""``zobench resume``: goes on with a run that was interrupted or killed, or extends a finished one."""

from __future__ import annotations

from typing import Annotated

import typer

from zobench.config import parse_overrides

from .options import MAX_TIME, JsonFlag, MovedTo, RunFolderArgument, Trackers, seconds


def resume(
    path: RunFolderArgument,
    trackers: Trackers = None,
    encoder_url: MovedTo = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="encoder.NAME=VALUE",
            help="How the service is used from here on, e.g. encoder.chunk=8.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Larger budget of the whole run, in queries; a finished run goes on, too."
        ),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="New limit on the total cost of the service; 0: no limit.")
    ] = None,
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="TIME", help=f"{MAX_TIME} 0: no limit.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a run that was interrupted or killed, or extend a finished one."""
    from zobench.records.manifest import read_manifest
    from zobench.records.urls.copies import published_run
    from zobench.runs.lifecycle import resume_run

    from .display.progress import ConsoleListener
    from .display.result import print_result

    if encoder_url is not None:
        settings = [*(settings or []), f"encoder.url={encoder_url}"]
    overrides = parse_overrides(settings or [], ("encoder",))
    limit = None if max_time is None else seconds(max_time)
    with ConsoleListener() as listener, published_run(path) as folder:
        processes = read_manifest(folder).resumed
        result = resume_run(
            folder,
            listener=listener,
            trackers=trackers or [],
            overrides=overrides,
            max_cost=max_cost,
            max_time=limit,
            budget=budget,
        )
        if result.manifest.resumed == processes:
            listener.note("the run is finished, and nothing was left to do; --budget extends it")
    print_result(result, as_json)
