"""``zobench verify``: replays the beginning of a run with its encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import JsonFlag, MovedTo, RunFolderArgument


def verify(
    path: RunFolderArgument,
    queries: Annotated[
        int, typer.Option(help="Replay at least so many queries.", min=1, max=10**12)
    ] = 1280,
    encoder_url: MovedTo = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay the beginning of a stored run and compare it with its trace; exit 1 if it differs."""
    from zobench.records.urls.copies import fetch
    from zobench.runs.verify import verify_run

    from .display.progress import ConsoleListener
    from .display.verification import print_verification

    with ConsoleListener() as listener:
        verification = verify_run(fetch(path), queries, listener=listener, encoder_url=encoder_url)
    print_verification(verification, as_json)
    if not verification.holds:
        raise typer.Exit(1)
