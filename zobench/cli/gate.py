"""``zobench gate``: fails a build whose fairness per query has fallen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choosing import OfSuite, Wheres, chosen
from .options import JsonFlag, RunsArgument


def gate(
    runs: RunsArgument,
    baseline: Annotated[Path, typer.Option(help="Baseline file to compare with.")] = Path(
        "baseline.json"
    ),
    update: Annotated[bool, typer.Option("--update", help="Write the baseline.")] = False,
    wheres: Wheres = None,
    suite: OfSuite = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="Allowed loss of a metric; only with --update."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A table for a CI job's summary page.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fail (exit 1) if fairness per query fell below a baseline."""
    from zobench.comparison.gate import check_runs, fitting
    from zobench.comparison.gate_rows import computable
    from zobench.errors import ConfigError
    from zobench.files.atomic import require_free
    from zobench.records.run_search import read_runs
    from zobench.records.selection import most_finished, without_repetitions
    from zobench.records.urls.copies import fetch
    from zobench.registry.discovery import load_registry

    from .display.console import note
    from .display.gate import passed, print_checks, update_baseline
    from .margins import parse_margins

    if as_json + markdown + update > 1:
        raise ConfigError("give only one of --json, --markdown and --update")
    if update:
        require_free(baseline, force=True)
    registry = load_registry(note=None if update else note)  # a baseline must lack no metric
    wanted = parse_margins(margins or [])
    if wanted and not update:
        raise ConfigError("margins are kept in the baseline: give --margin together with --update")
    stored = chosen(wheres, suite, registry).of(read_runs([fetch(run) for run in runs], registry))
    if not update:
        stored = fitting(stored, baseline, note)
    stored, notes = most_finished(stored)
    stored, more = without_repetitions(stored)
    for sentence in (*notes, *more):
        note(sentence)
    if update:
        update_baseline(stored, baseline, wanted)
        return
    checks = check_runs(stored, baseline)
    print_checks(checks, computable(stored), as_json=as_json, markdown=markdown)
    if not passed(checks):
        raise typer.Exit(1)
