"""What the report says, as plain data: everything that its page shows is computed here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..comparison import require_same_conditions
from ..errors import ConfigError
from ..results import stored_ledger
from ..statistics import (
    band,
    ecdf,
    expected_queries,
    expected_queries_interval,
    first_success,
    ranking,
    simulated_runtimes,
    staircase,
    success_rate,
    two_level,
)
from ..statistics.measured import Measured, possible
from ..statistics.two_level import Interval

Json = dict[str, Any]
Group = tuple[str, str]
"""Problem and optimizer."""

SHOWN = ("eo_n", "eo_p", "di_gap_tpr", "accuracy")
POINTS = 60
SIMULATED = 1000
ROUNDED = 5


@dataclass(frozen=True)
class Content:
    """Everything on the page.

    Attributes:
        facts: What was run, as rows of (name, value).
        problems: Names of the problems, in order.
        targets: Recoveries that runtimes are measured to.
        rows: The headline table.
        erm: The classifier without any edit, by problem; the same for every optimizer.
        curves: Recovery over queries, by problem.
        runtimes: ECDF of runtimes over targets, by problem.
        tradeoffs: Gap and accuracy of each run's last snapshot, by problem.
        ledger: What was spent on what, a row an optimizer and problem.
        ranks: Average ranks over problems; ``None`` for a single problem or missing runs.
        runs: A row a run.
    """

    facts: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    targets: tuple[float, ...]
    rows: tuple[Json, ...]
    erm: Mapping[str, Json]
    curves: Mapping[str, Json]
    runtimes: Mapping[str, Json]
    tradeoffs: Mapping[str, Json]
    ledger: tuple[Json, ...]
    ranks: Json | None
    runs: tuple[Json, ...]


def collect(
    runs: Sequence[Measured],
    targets: Sequence[float],
    progress: Callable[[int], None] = lambda done: None,
    seed: int = 0,
) -> Content:
    """Computes the content of a report.

    Args:
        runs: What to report on; unfinished ones are used up to where they got.
        targets: Recoveries that runtimes are measured to.
        progress: Told how many groups are done.
        seed: Of resamples and simulated restarts.

    Raises:
        ConfigError: Runs of one problem have different conditions, or one run is there twice.
    """
    groups: dict[Group, list[Measured]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.problem, run.label, run.config.seed)):
        groups[run.problem, run.label].append(run)
    require_same_conditions(runs)
    _require_one_a_seed(groups)
    problems = tuple(sorted({problem for problem, _ in groups}))
    rows = []
    for done, (group, members) in enumerate(groups.items()):
        rows.append(_row(group, members, targets, np.random.default_rng([seed, done])))
        progress(done + 1)
    rng = np.random.default_rng(seed)
    by_problem = {
        problem: {label: members for (where, label), members in groups.items() if where == problem}
        for problem in problems
    }
    return Content(
        facts=_facts(runs, groups),
        problems=problems,
        targets=tuple(targets),
        rows=tuple(rows),
        erm={name: _erm(members, rng) for name, members in by_problem.items()},
        curves={name: _curves(members, rng) for name, members in by_problem.items()},
        runtimes={name: _runtimes(members, targets, rng) for name, members in by_problem.items()},
        tradeoffs={name: _tradeoff(members) for name, members in by_problem.items()},
        ledger=tuple(_spending(group, members) for group, members in groups.items()),
        ranks=_ranks(problems, rows),
        runs=tuple(_run(run) for members in groups.values() for run in members),
    )


def _require_one_a_seed(groups: Mapping[Group, Sequence[Measured]]) -> None:
    for members in groups.values():
        seen: dict[int, Measured] = {}
        for run in members:
            other = seen.setdefault(run.config.seed, run)
            if other is not run:
                raise ConfigError(
                    f"{other.folder} and {run.folder} are the same problem, optimizer and seed; name "
                    "the one that is meant"
                )


def _facts(
    runs: Sequence[Measured], groups: Mapping[Group, Sequence[Measured]]
) -> tuple[tuple[str, str], ...]:
    def of(what: Callable[[Measured], object]) -> str:
        return ", ".join(dict.fromkeys(str(what(run)) for run in runs))

    states = [run.status for run in runs]
    standing = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    budgets = sorted({run.config.budget for run in runs})
    return (
        ("runs", f"{len(runs)} ({standing})"),
        ("optimizers", str(len({label for _, label in groups}))),
        ("problems", "; ".join(sorted({problem for problem, _ in groups}))),
        ("seeds", ", ".join(map(str, sorted({run.config.seed for run in runs})))),
        ("budget, queries", ", ".join(f"{each:,}" for each in budgets)),
        ("test images", of(lambda run: f"{run.manifest['split']['test']:,}")),
        ("heads", of(lambda run: run.config.heads)),
        ("zobench", of(lambda run: run.manifest["versions"].get("zobench"))),
        ("torch", of(lambda run: run.manifest["versions"].get("torch"))),
        ("machines", of(lambda run: run.manifest["machine"]["platform"])),
    )


def _row(
    group: Group, members: Sequence[Measured], targets: Sequence[float], rng: np.random.Generator
) -> Json:
    """A row of the headline table; a number that nothing is known of is ``None``."""
    problem, label = group
    done = [run for run in members if run.status == "done"]
    scored = [run for run in members if run.known]

    def mean(name: str, of: Sequence[Measured]) -> Json | None:
        if not of:
            return None
        return _interval(possible(two_level([run.metric(name) for run in of], rng), name))

    row: Json = {
        "problem": problem,
        "optimizer": label,
        "feedback": members[0].manifest["feedback"],
        "seeds": len(members),
        "done": len(done),
        "fpq": mean("fpq", done),
        "recovery": mean("recovery", done),
        **{name: mean(name, done) for name in SHOWN},
        "ert": [],
        "success": [],
    }
    spent = [run.known for run in scored]
    for target in targets:
        reached = [_reached(run, target) for run in scored]
        low, high = expected_queries_interval(reached, spent, rng)
        ert = {"value": expected_queries(reached, spent), "low": low, "high": high}
        row["ert"].append({key: _finite(value) for key, value in ert.items()})
        row["success"].append(success_rate(reached))
    return row


def _erm(groups: Mapping[str, Sequence[Measured]], rng: np.random.Generator) -> Json:
    """Metrics before any edit, of one run a seed; none of them where nothing is scored."""
    by_seed = {
        run.config.seed: run.resamples
        for members in groups.values()
        for run in members
        if run.resamples is not None
    }

    def mean(name: str) -> Json | None:
        values = [np.abs(resamples.metrics[name][0]) for resamples in by_seed.values()]
        return _interval(possible(two_level(values, rng), name)) if values else None

    return {"seeds": len(by_seed), **{name: mean(name) for name in SHOWN}}


def _reached(run: Measured, target: float) -> int | None:
    if run.resamples is None:
        return None
    recoveries = run.resamples.recovery[1:, 0]
    return first_success(run.resamples.queries[1:], recoveries.tolist(), target)


def _curves(groups: Mapping[str, Sequence[Measured]], rng: np.random.Generator) -> Json:
    """Mean recovery and its band on a common grid of queries."""
    everyone = [run for members in groups.values() for run in members]
    first = min(run.config.batch_size for run in everyone)
    budget = max(run.config.budget for run in everyone)
    grid = np.unique(np.geomspace(first, 1.25 * budget, POINTS).round().astype(int))
    lines = {}
    for label, members in groups.items():
        curves = [
            staircase(
                run.resamples.queries[1:],
                run.resamples.recovery[1:],
                grid,
                math.inf if run.status == "done" else run.known,
            ).T
            for run in members
            if run.resamples is not None and run.known
        ]
        if not curves:
            continue
        mean, low, high = band(curves, rng)
        lines[label] = {
            "mean": _rounded(mean),
            "low": _rounded(low),
            "high": _rounded(high),
            "feedback": members[0].manifest["feedback"],
        }
    return {"queries": grid.tolist(), "budget": budget, "lines": lines}


def _runtimes(
    groups: Mapping[str, Sequence[Measured]], targets: Sequence[float], rng: np.random.Generator
) -> Json:
    """ECDF over targets of runtimes with simulated restarts."""
    everyone = [run for members in groups.values() for run in members]
    first = min(run.config.batch_size for run in everyone)
    budget = max(run.config.budget for run in everyone)
    grid = np.geomspace(first, 10 * budget, POINTS)
    lines = {}
    for label, members in groups.items():
        scored = [run for run in members if run.known]
        if not scored:
            continue
        spent = [run.known for run in scored]
        drawn = [
            simulated_runtimes([_reached(run, target) for run in scored], spent, SIMULATED, rng)
            for target in targets
        ]
        lines[label] = {"share": _rounded(ecdf(np.concatenate(drawn), grid))}
    return {"queries": [round(float(each), 1) for each in grid], "budget": budget, "lines": lines}


def _tradeoff(groups: Mapping[str, Sequence[Measured]]) -> Json:
    """Average gap and accuracy of each run's last snapshot, and of ERM."""
    points: dict[str, list[Json]] = {}
    erm: dict[int, Json] = {}
    for label, members in groups.items():
        points[label] = []
        for run in members:
            if run.resamples is None or run.status != "done":
                continue
            metrics, seed = run.resamples.metrics, run.config.seed
            for row, into in ((-1, points[label]), (0, None)):
                found = {
                    "gap": round(float(metrics["eodds_average"][row, 0]), ROUNDED),
                    "accuracy": round(float(metrics["accuracy"][row, 0]), ROUNDED),
                    "seed": seed,
                }
                if into is None:
                    erm[seed] = found
                else:
                    into.append(found)
    return {"points": points, "erm": [erm[seed] for seed in sorted(erm)]}


def _spending(group: Group, members: Sequence[Measured]) -> Json:
    """Images by purpose, mean over runs; backward images apart, so that any cost can be applied."""
    counts = [stored_ledger(run.folder, run.manifest, run.config) for run in members]
    keys = (("setup", "forward"), ("optimize", "forward"), ("optimize", "backward"))
    sums = {
        f"{purpose}_{what}": float(np.mean([each[purpose][what] for each in counts]))
        for purpose, what in (*keys, ("score", "forward"))
    }
    cost = members[0].config.backward_cost
    return {"problem": group[0], "optimizer": group[1], "backward_cost": cost, **sums}


def _ranks(problems: Sequence[str], rows: Sequence[Json]) -> Json | None:
    """Average ranks in FPQ of those that were run on every problem."""
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["fpq"] is not None:
            table[row["optimizer"]][row["problem"]] = row["fpq"]["value"]
    labels = [label for label, found in table.items() if len(found) == len(problems)]
    if len(problems) < 2 or len(labels) < 2:
        return None
    scores = np.array([[table[label][problem] for label in labels] for problem in problems])
    found = ranking(scores)
    order = np.argsort(found.ranks, kind="stable")
    return {
        "optimizers": [labels[place] for place in order],
        "ranks": _rounded(found.ranks[order]),
        "friedman": _finite(found.friedman),
        "critical_difference": _finite(found.critical_difference),
        "problems": len(problems),
    }


def _run(run: Measured) -> Json:
    config, manifest = run.manifest["config"], run.manifest
    return {
        "name": run.folder.name,
        "problem": run.problem,
        "optimizer": run.label,
        "seed": run.config.seed,
        "status": run.status,
        "error": manifest.get("error") or "",
        "spent": run.spent,
        "config": {key: value for key, value in config.items() if key != "data_root"},
        "parameters": manifest["parameters"],
        "versions": manifest["versions"],
        "plugins": manifest["plugins"],
        "encoder": manifest["encoder"]["digest"],
        "dataset": manifest["dataset"]["digest"],
        "wall_seconds": round(manifest.get("wall_seconds", 0.0), 1),
    }


def _interval(found: Interval) -> Json:
    return {
        "value": round(found.value, ROUNDED),
        "low": round(found.low, ROUNDED),
        "high": round(found.high, ROUNDED),
    }


def _finite(value: float) -> float | None:
    return round(value, ROUNDED) if math.isfinite(value) else None


def _rounded(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [_finite(float(each)) for each in values]
