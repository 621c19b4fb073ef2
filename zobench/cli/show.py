"""``zobench show``: prints a stored run, or lists all runs of a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from . import completion
from .config_file import written


def show(
    path: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run folder, or a folder of runs; or its URL.",
            autocompletion=completion.runs,
        ),
    ],
    as_config: Annotated[
        bool, typer.Option("--config", help="Print the run's config, for zobench run --config.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on standard output; for a folder, a list."),
    ] = False,
) -> None:
    """Show a stored run again, finished or not; or list all runs of a folder."""
    from zobench.errors import ConfigError, StoreError
    from zobench.records.layout import is_run, run_folders
    from zobench.records.stored_run import StoredRun
    from zobench.records.summary_line import summary_lines
    from zobench.records.urls.copies import fetch
    from zobench.registry.discovery import load_registry

    from .display.console import note
    from .display.result import print_result
    from .display.run_lists import print_runs

    if as_config and as_json:
        raise ConfigError("--config prints TOML and --json prints JSON; give one of them")
    place, registry = fetch(path), load_registry(note=note)
    if as_config:
        typer.echo(written(StoredRun(place, registry).config), nl=False)
        return
    if is_run(place) or not run_folders(place.path):
        opened = StoredRun(place, registry)
        opened.files.require_whole()
        print_result(opened, as_json)
    else:
        damaged: list[StoreError] = []
        print_runs(list(summary_lines(place, registry, damaged.append)), registry, as_json)
        for error in damaged[1:]:
            note(f"left out: {error}")
        if damaged:
            raise damaged[0]
