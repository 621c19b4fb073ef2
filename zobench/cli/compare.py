"""``zobench compare``: prints the differences between A and B, with 95 % intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    """Say whether B is better than A, and how sure that is; paired by problem and seed."""
    from zobench.comparison.compare import compare_locations
    from zobench.comparison.export import check_target, write_table
    from zobench.records.urls.copies import fetch
    from zobench.registry.discovery import load_registry

    from .display.comparison import print_comparison
    from .margins import parse_margins

    registry = load_registry()
    allowed = parse_margins(margins or [])
    if export is not None:
        check_target(export, force)
    found = compare_locations(
        fetch(a),
        fetch(b or a),
        optimizer_a=optimizer_a,
        optimizer_b=optimizer_b,
        margins=allowed,
        registry=registry,
    )
    if export is not None:
        write_table(export, found.pair_rows())
    print_comparison(found, as_json)
