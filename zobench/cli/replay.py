"""``zobench replay``: runs the optimizer of a recorded run on the recorded answers."""

from __future__ import annotations

import json

import typer

from .options import JsonFlag, RunFolderArgument


def replay(path: RunFolderArgument, as_json: JsonFlag = False) -> None:
    """Run the optimizer of a recorded run on the recorded answers, without the encoder.

    Only an encoder that the optimizer borrows is needed. Exits with 1 if the last edit differs, with 2
    if an ask has no recorded answer.
    """
    from dataclasses import asdict

    from zobench.records.urls.copies import fetch
    from zobench.runs.replay import replay_run

    from .display.console import output_console

    replayed = replay_run(fetch(path))
    if as_json:
        print(json.dumps(asdict(replayed)))
    else:
        edit = "the edit that the run ended with" if replayed.same_edit else "ANOTHER edit"
        output_console().print(
            f"{replayed.asks} asks, {replayed.queries:,} queries, answered from the record; "
            f"the optimizer ends with {edit}",
            soft_wrap=True,
        )
    if not replayed.same_edit:
        raise typer.Exit(1)
