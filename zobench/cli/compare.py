"""``zobench compare``: prints the differences between A and B, with 95 % intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .choosing import OfSuite, Wheres, chosen
from .options import JsonFlag


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A run folder, or a folder of runs; or its URL.")
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="The same for B; default: A.")
    ] = None,
    optimizer_a: Annotated[
        str | None, typer.Option("--a", metavar="LABEL", help="Only this optimizer of A.")
    ] = None,
    optimizer_b: Annotated[
        str | None, typer.Option("--b", metavar="LABEL", help="Only this optimizer of B.")
    ] = None,
    wheres: Wheres = None,
    suite: OfSuite = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="Largest loss at which B counts as no worse."
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all pairs to a .csv or .parquet file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the exported file.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether B is better than A, and how sure that is; without B, rank all pairs."""
    from zobench.comparison.compare import compare_locations, rank_location
    from zobench.comparison.export import check_target, write_table
    from zobench.errors import ConfigError
    from zobench.records.urls.copies import fetch
    from zobench.registry.discovery import load_registry

    from .display.comparison import print_comparison
    from .display.console import error_console, note
    from .display.ranking import print_ranking
    from .margins import parse_margins

    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    registry = load_registry(note=tell)
    choice = chosen(wheres, suite, registry)
    allowed = parse_margins(margins or [])
    if force and export is None:
        raise ConfigError("--force replaces the exported file: give it together with --export")
    if export is not None:
        check_target(export, force)
    if b is None and None in (optimizer_a, optimizer_b):
        if allowed or export is not None:
            raise ConfigError("--margin and --export need two sides: name B, or --a and --b")
        rankings = rank_location(
            fetch(a),
            optimizer=optimizer_a or optimizer_b,
            choice=choice,
            note=tell,
            registry=registry,
        )
        print_ranking(rankings, as_json, notes)
        return
    comparison = compare_locations(
        fetch(a),
        fetch(b or a),
        optimizer_a=optimizer_a,
        optimizer_b=optimizer_b,
        margins=allowed,
        choice=choice,
        note=tell,
        registry=registry,
    )
    if export is not None:
        write_table(export, comparison.pair_rows())
        error_console().print(f"wrote {export}", markup=False, soft_wrap=True)
    if as_json:  # which has all that was said
        comparison = replace(comparison, notes=(*notes, *comparison.notes))
    print_comparison(comparison, as_json)
