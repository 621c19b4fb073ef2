"""``zobench report``: one page about many runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from zobench.errors import ConfigError, NotARunError
from zobench.records.stored_run import measure, run_folders
from zobench.report.content import collect
from zobench.report.rendering import render, write_page
from zobench.report.sampling import sample
from zobench.suite.file import TARGETS, read_suite

from .console import ConsoleListener, output_console

MANY = 500
"""Runs on one page above which it opens slowly."""


def write_report(
    paths: list[Path],
    out: Path,
    suite: Path | None,
    title: str | None,
    force: bool,
    most: int | None = None,
) -> None:
    """Reads runs, or a sample of at most so many, computes what there is to say, writes the page.

    Raises:
        ZobenchError: There are no runs, they do not go together, or the page cannot be written.
    """
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; choose another name, or --force to replace it")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is not a folder")
    declared = read_suite(suite) if suite is not None else None
    targets = declared.targets if declared is not None else TARGETS
    folders = there = run_folders(paths)
    if most is not None:
        folders = sample(there, most)
    with ConsoleListener() as listener:
        listener.phase("read runs", len(folders))
        runs = []
        for number, folder in enumerate(folders):
            with suppress(NotARunError):  # it went away meanwhile
                runs.append(measure(folder, auc=False))
            listener.update(number + 1)
        groups = {(run.problem, run.label) for run in runs}
        listener.phase("compute", len(groups))
        content = collect(runs, targets, listener.update)
        name = title or (declared.name if declared is not None else "zobench report")
        if len(folders) < len(there):
            name += f" (a sample of {len(folders):,} of {len(there):,} runs)"
        write_page(out, render(name, content, runs))
    if most is None and len(runs) > MANY:
        listener.note(
            f"a page about {len(runs):,} runs is slow to open; --sample {MANY} makes a lighter one"
        )
    size = out.stat().st_size / 1e6
    output_console().print(
        f"wrote {out}: {len(runs)} runs, {size:.1f} MB", soft_wrap=True, markup=False
    )
