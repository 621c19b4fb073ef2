"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from zobench.config import RunConfig

from . import completion

DEFAULTS = RunConfig()

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
Out = Annotated[
    str, typer.Option(metavar="FOLDER|URL", help="Folder or URL for run folders, e.g. s3://…")
]
MovedTo = Annotated[
    str | None,
    typer.Option("--encoder-url", help="New address of the service, if it has changed."),
]
RunFolderArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run folder, or its URL.", autocompletion=completion.runs),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUNS",
        help="Run folders, folders of runs, or URLs.",
        autocompletion=completion.runs,
    ),
]
