"""``zobench list``: names of plugins, and the parameters of one plugin."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import JsonFlag


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="optimizers, encoders, datasets, spaces, split, …"),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A plugin: list its parameters.")
    ] = None,
    as_json: JsonFlag = False,
    every: Annotated[
        bool, typer.Option("--all", help="Name and count the members of families too.")
    ] = False,
) -> None:
    """List the installed plugins: optimizers, encoders, datasets and all other kinds."""
    from .display.listing import list_plugins

    list_plugins(kind, name, as_json, every)
