"""Tables of many runs: one row per run, or one row per optimizer with its mean over seeds."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.contracts.metric import Metric
from zobench.contracts.run_status import RunStatus
from zobench.measures.recovery import FPQ, RECOVERY
from zobench.records.selection import cautions
from zobench.records.summary_line import SummaryLine, reference_lines, summary_line
from zobench.registry.discovery import BUILT_IN, Registry

from .console import output_console
from .layouts import print_fitting, widest_fitting

if TYPE_CHECKING:
    from zobench.suite.suite_run import SuiteResult

NAMED = 3
"""Unfinished runs that are listed with the command that resumes them."""

ENDING = re.compile(r"^.*-(s\d+-[0-9a-f]+)$")
"""A folder name that zobench chose; its end, seed and digest, tells it from all others."""


@dataclass(frozen=True)
class _Columns:
    """The columns of a table for terminals of several widths.

    Attributes:
        every: FPQ, recovery and all metrics that tables show.
        with_others: Those of ``few``, and the metrics of other packages.
        few: FPQ, recovery, and the accuracy that recovery is judged by.
    """

    every: list[Metric]
    with_others: list[Metric]
    few: list[Metric]


RANKING = [FPQ, RECOVERY]
"""What optimizers are ranked by; every table has it."""


def _columns(registry: Registry) -> _Columns:
    metrics = [metric for metric in registry.metrics if metric.in_tables]
    offers = registry.offers["metrics"]
    others = [metric for metric in metrics if offers[metric.name].distribution != BUILT_IN]
    few = [*RANKING, *(metric for metric in metrics if metric.name == "accuracy")]
    return _Columns([*RANKING, *metrics], [*few, *others], few)


def print_runs(
    runs: Sequence[SummaryLine],
    registry: Registry,
    as_json: bool,
    console: Console | None = None,
) -> None:
    """Prints all runs, by optimizer and seed: a table per problem and feedback level; or JSON."""
    if as_json:
        print(json.dumps([run.as_dict() for run in runs], allow_nan=False))
        return
    columns = _columns(registry)
    layouts = [
        (("optimizer", "seed", "status", "queries"), columns.every),
        (("optimizer", "seed", "status"), columns.with_others),
        (("optimizer", "seed", "status"), columns.few),
        (("status", "queries"), RANKING),
        (("status",), RANKING),
        (("optimizer", "status", "queries"), RANKING),
        (("optimizer", "status"), RANKING),
    ]
    console = console or output_console()
    tables = (
        [_runs_table(problem, several, *layout) for layout in layouts]
        for problem, several in _by(runs, _problem)
    )
    chosen = print_fitting(tables, console)
    if _ends_only(layouts[chosen][0]):
        _explain_short_names(runs, console)
    stopped = (RunStatus.INTERRUPTED, RunStatus.FAILED)
    unfinished = [run for run in runs if run.status in stopped and run.resumable]
    for run in unfinished[:NAMED]:
        command = f"zobench resume {shlex.quote(str(run.folder))}"
        console.print(f"{run.status.value}: {escape(command)}", soft_wrap=True)  # to be copied
    if more := len(unfinished[NAMED:]):
        console.print(f"{more} more can be resumed; --json lists them")


def _explain_short_names(runs: Sequence[SummaryLine], console: Console) -> None:
    """Says how a run is named whose name was shortened, if one was."""
    for run in runs:
        if (short := _short(run)) != run.folder.name:
            before = str(run.folder).removesuffix(run.folder.name)
            example = escape(f"zobench show {shlex.quote(before) if before else before}{short}")
            console.print(f"[dim]long names are shown by their ends: {example}[/]", soft_wrap=True)
            return


def _ends_only(facts: Sequence[str]) -> bool:
    """Whether a layout names the optimizer, and so shows only the ends of the run names."""
    return "optimizer" in facts and "seed" not in facts


def _short(run: SummaryLine) -> str:
    """The end of a run's name as a pattern that a shell completes."""
    return ENDING.sub(r"*-\1", run.folder.name)


def _runs_table(
    problem: str, runs: Sequence[SummaryLine], facts: Sequence[str], columns: Sequence[Metric]
) -> Table:
    """One row per run; narrow layouts leave out columns that the run name repeats.

    The narrowest ones show the label of the optimizer, and of the run name only its end.
    """
    short = _ends_only(facts)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(problem)
    table.add_column("run", no_wrap=True)
    for heading in (*facts, *(column.heading for column in columns)):
        left = heading in ("optimizer", "status")
        table.add_column(
            escape(heading),
            justify="left" if left else "right",
            no_wrap=not (short and heading == "optimizer"),
        )
    for run in sorted(runs, key=lambda run: (run.optimizer, run.seed)):
        spent = f"{run.spent:,}"
        words = {
            "optimizer": escape(run.optimizer),
            "seed": str(run.seed),
            "status": run.status.value,
            "queries": spent if run.status is RunStatus.DONE else f"{spent} of {run.budget:,}",
        }
        cells = [words[key] for key in facts] + [_number(run, column) for column in columns]
        table.add_row(escape(_short(run) if short else run.folder.name), *cells)
    return table


def _by(
    runs: Sequence[SummaryLine], key: Callable[[SummaryLine], str]
) -> list[tuple[str, list[SummaryLine]]]:
    groups: dict[str, list[SummaryLine]] = defaultdict(list)
    for run in runs:
        groups[key(run)].append(run)
    return sorted(groups.items())


def _problem(run: SummaryLine) -> str:
    """The problem and the feedback level; optimizers of several levels are not ranked together."""
    return f"{run.problem}, {run.feedback} feedback"


def _number(run: SummaryLine, quantity: Metric) -> str:
    value = run.values.get(quantity.name)
    return "" if value is None else _rounded(value, quantity)


def _rounded(value: float, quantity: Metric) -> str:
    digits = quantity.digits()
    return f"{round(value, digits) + 0.0:.{digits}f}"


def print_suite(
    result: SuiteResult, out: str, as_json: bool, console: Console | None = None
) -> None:
    """Prints the means of finished runs, sorted by FPQ, and the errors of failed runs.

    Args:
        result: The runs of the suite, with their standings and errors.
        out: The folder of run folders, as typed.
        as_json: Whether to print one JSON object.
        console: Where the tables are printed; standard output if ``None``.
    """
    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
        return
    console, done = console or output_console(), [summary_line(run) for run in result.runs]
    columns = _columns(result.registry)
    choices = [
        (columns.every, True),
        (columns.with_others, True),
        (columns.with_others, False),
        (columns.few, False),
    ]
    references = reference_lines(result.runs)
    tables: list[list[Table]] = []
    for problem, runs in _by(done, _problem):
        groups = _by(runs, lambda run: run.optimizer)
        groups.sort(key=lambda group: -_mean(group[1], FPQ))
        free: dict[str, list[SummaryLine]] = {}
        for line in references:
            if line.problem == runs[0].problem:
                free.setdefault(line.optimizer, []).append(line)
        tables.append(
            [
                _suite_table(problem, list(free.items()), groups, chosen, spread=spread)
                for chosen, spread in choices
            ]
        )
    if done:
        _, spread = choices[max(widest_fitting(layouts, console) for layouts in tables)]
        means = "mean over seeds (least … largest)" if spread else "mean over seeds"
        console.print(f"[bold]{escape(result.suite.name)}[/]: {means}")
    print_fitting(tables, console)
    for caution in cautions(result.runs):
        console.print(f"[bold yellow]note:[/] {escape(caution)}", soft_wrap=True)
    for job, error in result.running.errors.items():
        console.print(
            f"[red]failed[/] {escape(str(job.location))}: {escape(error)}", soft_wrap=True
        )
    console.print(f"run folders: {escape(shlex.quote(out))}", soft_wrap=True)


def _suite_table(
    problem: str,
    references: Sequence[tuple[str, list[SummaryLine]]],
    groups: Sequence[tuple[str, list[SummaryLine]]],
    columns: Sequence[Metric],
    *,
    spread: bool,
) -> Table:
    """ERM and the no-query baselines first, then the optimizers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(problem)
    table.add_column("optimizer", overflow="fold")  # wrapped where no layout fits: numbers stay
    for heading in ("seeds", *(column.heading for column in columns)):
        table.add_column(escape(heading), justify="right", no_wrap=True)
    for several, style in ((references, "dim"), (groups, "")):
        for name, runs in several:
            cells = [_spread(runs, column, ends=spread) for column in columns]
            table.add_row(escape(name), str(len(runs)), *cells, style=style)
        table.add_section()
    return table


def _values(runs: Sequence[SummaryLine], quantity: Metric) -> list[float]:
    return [value for run in runs if (value := run.values.get(quantity.name)) is not None]


def _mean(runs: Sequence[SummaryLine], quantity: Metric) -> float:
    values = _values(runs, quantity)
    return sum(values) / len(values) if values else 0.0


def _spread(runs: Sequence[SummaryLine], quantity: Metric, *, ends: bool) -> str:
    values = _values(runs, quantity)
    if not values:
        return ""
    mean = _rounded(_mean(runs, quantity), quantity)
    if len(values) < 2 or not ends:
        return mean
    return f"{mean} ({_rounded(min(values), quantity)} … {_rounded(max(values), quantity)})"
