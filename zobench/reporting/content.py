"""The content of the report as plain data: every number of its page is computed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.records.comparability import require_same_conditions
from zobench.records.stored_run import StoredRun

from . import charts, tables
from .numbers import Json


@dataclass(frozen=True)
class Content:
    """Everything on the page.

    Attributes:
        facts: Optimizers, problems, seeds and versions, as rows of (name, value).
        problems: Names of the problems, in order.
        targets: Recoveries that runtimes are measured to.
        columns: The quantities of the headline table, in order.
        rows: The headline table.
        erm: The classifier without any edit, by problem; the same for every optimizer.
        curves: Recovery over queries, by problem.
        runtimes: ECDF of runtimes over targets, by problem.
        tradeoffs: Gap and accuracy of each run's last snapshot, by problem.
        ledger: Images by purpose, a row an optimizer and problem.
        ranks: Average ranks over problems; ``None`` for a single problem or missing runs.
        runs: A row a run.
    """

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
    ranks: Json | None
    runs: tuple[Json, ...]


def collect(
    runs: Sequence[StoredRun],
    targets: Sequence[float],
    progress: Callable[[int], None] = lambda done: None,
    seed: int = 0,
) -> Content:
    """Computes the content of a report.

    Args:
        runs: At least one run; an unfinished one is used up to its last scored snapshot.
        targets: Recoveries that runtimes are measured to.
        progress: Told how many groups are done.
        seed: Seed of simulated restarts.

    Raises:
        ConfigError: Runs of one problem have different conditions, or one run is there twice.
    """
    groups: dict[tables.Group, list[StoredRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.problem, run.label, run.config.seed)):
        groups[run.problem, run.label].append(run)
    require_same_conditions(runs)
    _require_one_a_seed(groups)
    problems = tuple(sorted({problem for problem, _ in groups}))
    columns = tuple(each for each in runs[0].quantities if each.in_tables)
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
    return Content(
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
        runs=tuple(tables.run(run) for members in groups.values() for run in members),
    )


def _require_one_a_seed(groups: Mapping[tables.Group, Sequence[StoredRun]]) -> None:
    for members in groups.values():
        seen: dict[int, StoredRun] = {}
        for run in members:
            other = seen.setdefault(run.config.seed, run)
            if other is not run:
                raise ConfigError(
                    f"{other.location} and {run.location} are the same problem, optimizer and seed; "
                    "name the one that is meant"
                )
