"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import RunConfig

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
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
