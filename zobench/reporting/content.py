"""The content of the report as plain data; :func:`collect` computes it from runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.records.comparability import require_same_conditions
from zobench.records.stored_run import StoredRun

from . import charts, tables
from .numbers import Json
from .opening import opening
from .tasks import agreements


@dataclass(frozen=True)
class Content:
    """The numbers and facts that the report page shows.

    Attributes:
        opening: What the page says first, by problem.
        facts: Counts, problems, seeds, settings and versions of the runs, as rows of (name, value).
        problems: Names of the problems, those with the most runs first.
        targets: Target recoveries of ERT, success rates and runtimes.
        columns: The quantities of the results table, in order: all that any run has.
        rows: The results table, one row per optimizer and problem.
        erm: Metrics of the classifier without any edit (ERM), by problem.
        curves: Recovery over queries, by problem.
        runtimes: ECDF of runtimes over targets, by problem.
        tradeoffs: Gap and accuracy of the last snapshot of each finished run, by problem.
        ledger: Number of images by purpose, one row per optimizer and problem.
        ranks: By feedback level, average ranks over problems of the optimizers with FPQ on every
            problem; levels with fewer than two such optimizers, or fewer than two problems, are
            left out.
        agreements: By feedback level, whether the problems rank the optimizers alike.
        baselines: The no-query baselines, by problem and name.
        bills: What services cost, one row per optimizer and problem that used one.
        runs: One record per run.
    """

    opening: Mapping[str, tuple[str, ...]]
    facts: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    targets: tuple[float, ...]
    columns: tuple[Metric, ...]
    rows: tuple[Json, ...]
    erm: Mapping[str, Json]
    curves: Mapping[str, Json]
    runtimes: Mapping[str, Json]
    tradeoffs: Mapping[str, Json]
    ledger: tuple[Json, ...]
    ranks: Mapping[str, Json]
    agreements: Mapping[str, Json]
    baselines: Mapping[str, Mapping[str, Json]]
    bills: tuple[Json, ...]
    runs: tuple[Json, ...]


def collect(
    runs: Sequence[StoredRun],
    targets: Sequence[float],
    progress: Callable[[int], None] = lambda done: None,
    seed: int = 0,
) -> Content:
    """Computes the content of a report.

    Args:
        runs: At least one run. Means leave unfinished runs out. The recovery curve of an optimizer
            without a finished run ends where the first snapshot is that is not scored.
        targets: Target recoveries of ERT, success rates and runtimes.
        progress: Called with the number of finished groups, a group being the runs of one optimizer
            on one problem.
        seed: Seed of the bootstrap intervals of ERT and of the simulated restarts.

    Raises:
        ConfigError: Runs of one problem have different conditions, or two runs have the same
            problem, optimizer and seed.
    """
    groups: dict[tables.Group, list[StoredRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.problem, run.label, run.config.seed)):
        groups[run.problem, run.label].append(run)
    require_same_conditions(runs)
    _require_one_a_seed(groups)
    runs_of = Counter(run.problem for run in runs)
    problems = tuple(sorted(runs_of, key=lambda name: (-runs_of[name], name)))
    fullest = sorted(runs, key=lambda run: -len(run.quantities))  # some have no placebo
    quantities = {quantity.name: quantity for run in fullest for quantity in run.quantities}
    columns = tuple(quantity for quantity in quantities.values() if quantity.in_tables)
    rows = []
    for done, (group, members) in enumerate(groups.items()):
        rows.append(
            tables.row(group, members, columns, targets, np.random.default_rng([seed, done]))
        )
        progress(done + 1)
    rng = np.random.default_rng(seed)
    by_problem = {
        problem: {label: members for (where, label), members in groups.items() if where == problem}
        for problem in problems
    }
    free = {name: tables.baselines(members, columns) for name, members in by_problem.items()}
    return Content(
        opening={
            name: opening(members, [row for row in rows if row["problem"] == name], free[name])
            for name, members in by_problem.items()
        },
        facts=tables.facts(runs, groups),
        problems=problems,
        targets=tuple(targets),
        columns=columns,
        rows=tuple(rows),
        erm={name: tables.erm(members, columns) for name, members in by_problem.items()},
        curves={name: charts.curves(members) for name, members in by_problem.items()},
        runtimes={
            name: charts.runtimes(members, targets, rng) for name, members in by_problem.items()
        },
        tradeoffs={name: charts.tradeoff(members) for name, members in by_problem.items()},
        ledger=tuple(tables.spending(group, members) for group, members in groups.items()),
        ranks=tables.ranks(problems, rows),
        agreements=agreements(groups, rng),
        baselines=free,
        bills=tuple(
            bill
            for group, members in groups.items()
            if (bill := tables.bill(group, members)) is not None
        ),
        runs=tuple(tables.run(run) for members in groups.values() for run in members),
    )


def _require_one_a_seed(groups: Mapping[tables.Group, Sequence[StoredRun]]) -> None:
    for members in groups.values():
        seen: dict[int, StoredRun] = {}
        for run in members:
            other = seen.setdefault(run.config.seed, run)
            if other is not run:
                raise ConfigError(
                    f"{other.location} and {run.location} have the same problem, optimizer and "
                    "seed; name only one of them"
                )
