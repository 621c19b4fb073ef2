"""``zobench report``: writes one page about many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choosing import Wheres, chosen
from .options import RunsArgument

READERS = ("researchers", "people")


def report(
    runs: RunsArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    suite: Annotated[
        str | None,
        typer.Option(help="Suite, or suite file: only its runs, with its targets and title."),
    ] = None,
    wheres: Wheres = None,
    reader: Annotated[
        str,
        typer.Option(
            "--for", metavar="READER", help="researchers, or people: one run, for those who decide."
        ),
    ] = "researchers",
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--sample", help="Most runs to show, evenly by optimizer.", min=1, max=1_000_000
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
) -> None:
    """Make one self-contained HTML page about many runs, or --for people about one."""
    from zobench.errors import ConfigError
    from zobench.records.urls.copies import fetch
    from zobench.registry.discovery import load_registry
    from zobench.reporting.people import the_one, write_people_page
    from zobench.reporting.report import write_report
    from zobench.suite.file import TARGETS, read_suite
    from zobench.suite.named_suites import suite_file

    from .display.console import note, output_console
    from .display.progress import ConsoleListener

    if reader not in READERS:
        raise ConfigError(f"--for is {reader!r}, but must be one of {', '.join(READERS)}")
    if reader == "people":
        if title is not None or most is not None:
            raise ConfigError("--title and --sample are for pages about many runs")
        registry = load_registry(note=note)
        places = [fetch(run) for run in runs]
        write_people_page(
            the_one(places, chosen(wheres, suite, registry), registry), out, force=force
        )
        output_console().print(f"wrote {out}", soft_wrap=True, markup=False)
        return
    declared = read_suite(suite_file(suite)) if suite is not None else None
    with ConsoleListener() as listener:
        registry = load_registry(note=listener.note)
        written = write_report(
            [fetch(run) for run in runs],
            out,
            title=title or (declared.name if declared is not None else "zobench report"),
            targets=declared.targets if declared is not None else TARGETS,
            most=most,
            choice=chosen(wheres, suite, registry),
            force=force,
            registry=registry,
            listener=listener,
        )
    output_console().print(
        f"wrote {out}: {written.runs} run{'' if written.runs == 1 else 's'}, {written.megabytes:.1f} MB",
        soft_wrap=True,
        markup=False,
    )
