"""One page about one run, for those who decide and do not know the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zobench.errors import ConfigError
from zobench.files.atomic import require_free
from zobench.files.location import Location
from zobench.measures.interval import Interval
from zobench.records.layout import IMAGES_PICTURE
from zobench.records.run_search import read_runs
from zobench.records.score_rows import ClassifierScore
from zobench.records.selection import Choice
from zobench.records.stored_run import StoredRun
from zobench.records.verdict import removed_in_words, verdict
from zobench.registry.discovery import Registry, distribution_version, load_registry

from .rendering import embedded, templates, write_page

WIDTH = 900
"""Largest size of the picture in pixels."""


@dataclass(frozen=True)
class Line:
    """One kind of error in one group: without the edit, with it, and with the best free method."""

    words: str
    before: Interval
    after: Interval
    free: Interval | None


def the_one(
    places: Sequence[Location], choice: Choice, registry: Registry | None = None
) -> StoredRun:
    """The only run that is meant.

    Raises:
        ConfigError: Several runs are, or none.
        StoreError: A place holds no run, or a run is damaged.
    """
    runs = choice.of(read_runs(places, registry or load_registry()))
    if len(runs) > 1:
        raise ConfigError(
            f"there are {len(runs)} runs, but a page for people is about one: name a run folder, or say "
            "which, e.g. --where label=pgd --where seed=0"
        )
    return runs[0]


def write_people_page(run: StoredRun, out: Path, *, force: bool = False) -> None:
    """Writes the page of a finished run.

    Raises:
        ConfigError: The run is not done, the file exists and ``force`` is not set, or its folder does
            not exist.
        StoreError: The page cannot be written.
    """
    if run.results is None or not run.done or len(run.scores) < 2:
        raise ConfigError(f"{run.location} is {run.status}; this page needs a run that is done")
    require_free(out, force=force)
    write_page(out, page(run))


def page(run: StoredRun) -> str:
    """The page of a finished run as HTML; all text from the run is escaped."""
    assert run.results is not None
    manifest, config = run.manifest, run.config
    picture = run.files.picture(IMAGES_PICTURE)
    erm, last = run.scores[0], run.scores[-1]
    return (
        templates()
        .get_template("people.html.jinja")
        .render(
            run=run,
            config=config,
            finding=config.disease.replace("_", " "),
            groups=manifest.dataset.groups,
            verdict=verdict(run.results, run.status).text,  # without advice on options
            lines=error_lines(run),
            free=best_free(run),
            accuracy=(erm.metrics["accuracy"], last.metrics["accuracy"]),
            ledger=run.ledger,
            bill=run.bill,
            split=manifest.split,
            training=manifest.split.described(manifest.dataset.groups),
            placebo=run.results.controls.get("placebo"),
            last=last,
            did=_did,
            picture=None if picture is None else embedded(picture, WIDTH),
            generated=manifest.dataset.generated,
            version=distribution_version("zobench"),
        )
    )


def _did(score: ClassifierScore) -> str:
    """What an edit does to the gap, as a verb with its object."""
    words = removed_in_words(score, past=False)
    return f"{words} of the gap" if words.startswith("removes") else words


def best_free(run: StoredRun) -> str | None:
    """The name of the no-query baseline with the largest recovery; ``None`` if there is none."""
    assert run.results is not None
    baselines = run.results.baselines
    return max(baselines, key=lambda name: float(baselines[name].recovery.value), default=None)


def error_lines(run: StoredRun) -> list[Line]:
    """The errors of each group: missed findings first, then false alarms."""
    results, free = run.results, best_free(run)
    assert results is not None
    columns = [results.group_errors(row) for row in ("erm", "edit")]
    columns.append(columns[0] if free is None else results.group_errors(free))
    groups, finding = run.manifest.dataset.groups, run.config.disease.replace("_", " ")
    lines = []
    for before, after, best in zip(*columns, strict=True):
        who = groups[before.group]
        words = f"{who} with {finding}: missed" if before.label else f"{who} without: false alarm"
        lines.append(Line(words, before.rate, after.rate, None if free is None else best.rate))
    return lines
