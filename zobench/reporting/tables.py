"""The tables of the report as plain data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import numpy as np

from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.measures.interval import Floats, interval
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.records.identity import arithmetic
from zobench.records.results import Results
from zobench.records.runtime import has_runtime, queries_charged, queries_to
from zobench.records.stored_run import StoredRun
from zobench.statistics import expected_queries, expected_queries_interval, ranking, success_rate

from .numbers import Json, finite, rounded

Group = tuple[str, str]
"""Name of the problem and label of the optimizer."""


def facts(
    runs: Sequence[StoredRun], groups: Mapping[Group, Sequence[StoredRun]]
) -> tuple[tuple[str, str], ...]:
    """Facts about all runs: counts, problems, seeds, settings and versions, as (name, value)."""

    def of(what: Callable[[StoredRun], object]) -> str:
        return ", ".join(dict.fromkeys(str(what(run)) for run in runs))

    states = [run.status for run in runs]
    standing = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    budgets = sorted({run.config.budget for run in runs})
    return (
        ("runs", f"{len(runs)} ({standing})"),
        ("optimizers", str(len({label for _, label in groups}))),
        ("problems", "; ".join(sorted({problem for problem, _ in groups}))),
        ("seeds", ", ".join(map(str, sorted({run.config.seed for run in runs})))),
        ("budget, queries", ", ".join(f"{budget:,}" for budget in budgets)),
        ("curve", of(lambda run: _curve(run.config))),
        ("training images", training_images(runs)),
        ("test images", of(lambda run: f"{run.manifest.split.test:,}")),
        ("heads", of(lambda run: run.config.heads)),
        ("device, precision", of(_arithmetic)),
        ("zobench", of(lambda run: run.manifest.versions.get("zobench"))),
        ("torch", of(lambda run: run.manifest.versions.get("torch"))),
        ("machines", of(lambda run: run.manifest.machine["platform"])),
    )


def _arithmetic(run: StoredRun) -> str:
    """The device and precision of the embeddings, as far as the encoder tells them."""
    told = [value for value in arithmetic(run.manifest) if value != str(None)]
    return " ".join(told) or "the encoder does not tell"


def _curve(config: RunConfig) -> str:
    """Which points of a curve are scored, in words."""
    if config.scored >= config.snapshots:
        return f"snapshots: at most {config.snapshots}, all scored"
    return (
        f"snapshots: at most {config.snapshots}; scored edits: at most {config.scored}; FPQ, ERT, "
        "success and curves interpolate between scored edits"
    )


def training_images(runs: Sequence[StoredRun]) -> str:
    """The training images and their bias, for one run of each problem."""
    first = {run.problem: run.manifest for run in reversed(runs)}
    words = {name: value.split.described(value.dataset.groups) for name, value in first.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{name}: {words[name]}" for name in sorted(words))


def row(
    group: Group,
    members: Sequence[StoredRun],
    columns: Sequence[Metric],
    targets: Sequence[float],
    rng: np.random.Generator,
) -> Json:
    """One row of the results table: the runs of one optimizer on one problem.

    FPQ, recovery and metrics are ``None`` if no run is done, a finished run lacks them, or a value is
    infinite. ERT and success rate are ``None`` if no run is done, failed or scored; an infinite ERT has
    the value ``None``.
    """
    problem, label = group
    done = [run for run in members if run.done]
    alone = len(done) == 1
    counted = [run for run in members if has_runtime(run)]
    row: Json = {
        "problem": problem,
        "optimizer": label,
        "feedback": members[0].manifest.feedback,
        "seeds": len(members),
        "done": len(done),
        **{column.name: _mean_of_runs(done, column) for column in columns},
        "gap_recovery": _mean([_gap_recovery(run, alone) for run in done], RECOVERY),
        "why_zero": _why_zero(done),
        "ert": [],
        "success": [],
    }
    spent = [queries_charged(run) for run in counted]
    for target in targets:
        if not counted:
            row["ert"].append(None)
            row["success"].append(None)
            continue
        reached = [queries_to(run, target) for run in counted]
        low, high = expected_queries_interval(reached, spent, rng)
        ert = {"value": expected_queries(reached, spent), "low": low, "high": high}
        row["ert"].append({key: finite(value) for key, value in ert.items()})
        row["success"].append(success_rate(reached))
    return row


def _mean_of_runs(done: Sequence[StoredRun], column: Metric) -> Json | None:
    if not all(column in run.quantities for run in done):
        return None
    return _mean([run.values(column, alone=len(done) == 1) for run in done], column)


def _gap_recovery(run: StoredRun, alone: bool) -> Floats:
    """Share of ERM's gap that the last edit removes, whatever the accuracy, ``(R + 1,)``."""
    assert run.results is not None
    results = run.results if alone else run.results.for_means
    return np.asarray(results.resamples.recoveries.gap_recovery[len(results.edits) - 1])


def _why_zero(done: Sequence[StoredRun]) -> str:
    """Why recoveries are 0, one reason per seed; empty if none is."""
    reasons = {run.config.seed: run.scores[-1].why_zero for run in done if run.scores}
    return "; ".join(f"seed {seed}: {why}" for seed, why in sorted(reasons.items()) if why)


def erm(groups: Mapping[str, Sequence[StoredRun]], columns: Sequence[Metric]) -> Json:
    """Metrics of ERM (no edit) on one problem, from one scored run per seed.

    Each metric is ``None`` if no run is scored.
    """
    by_seed = {
        run.config.seed: run
        for members in groups.values()
        for run in members
        if run.results is not None
    }
    metrics = [column for column in columns if column not in (FPQ, RECOVERY, BEYOND_PLACEBO)]
    means = {
        metric.name: _mean(
            [run.values(metric, row=0, alone=len(by_seed) == 1) for run in by_seed.values()], metric
        )
        for metric in metrics
    }
    return {"seeds": len(by_seed), BEYOND_PLACEBO.name: None, **means}


def _mean(values: Sequence[Floats], quantity: Metric) -> Json | None:
    """Mean over seeds with its interval; ``None`` without seeds or with an infinite value."""
    if not values or not all(np.isfinite(value).all() for value in values):
        return None
    return interval(values, quantity).as_dict()


def spending(group: Group, members: Sequence[StoredRun]) -> Json:
    """Number of images by purpose, mean over runs.

    Forward and backward images are separate numbers, so the page can apply any backward cost.
    """
    counts = [run.ledger for run in members]
    keys = (("setup", "forward"), ("optimize", "forward"), ("optimize", "backward"))
    sums = {
        f"{purpose}_{what}": float(
            np.mean([count.get(purpose, {}).get(what, 0) for count in counts])
        )
        for purpose, what in (*keys, ("score", "forward"), ("local", "forward"))
    }
    cost = members[0].config.backward_cost
    return {"problem": group[0], "optimizer": group[1], "backward_cost": cost, **sums}


def bill(group: Group, members: Sequence[StoredRun]) -> Json | None:
    """What a service sent and billed for one optimizer, summed over runs; ``None`` without one."""
    bills = [run.bill for run in members if run.bill is not None]
    if not bills:
        return None
    totals = [one.total() for one in bills]
    costs = [one.as_dict() for one in bills if one.price]
    return {
        "problem": group[0],
        "optimizer": group[1],
        "runs": len(bills),
        **{
            name: sum(getattr(total, name) for total in totals)
            for name in ("requests", "retries", "images_billed", "images_maybe_billed")
        },
        "cost": sum(cost["cost"] for cost in costs) if costs else None,
        "cost_at_most": sum(cost["cost_at_most"] for cost in costs) if costs else None,
    }


def baselines(
    groups: Mapping[str, Sequence[StoredRun]], columns: Sequence[Metric]
) -> dict[str, Json]:
    """Recovery and metrics of the no-query baselines on one problem, from one run per seed."""
    by_name: dict[str, dict[int, Results]] = {}
    for run in (run for members in groups.values() for run in members):
        if run.results is not None:
            for name in run.results.stored.baselines:
                by_name.setdefault(name, {})[run.config.seed] = run.results
    table = {}
    for name, by_seed in by_name.items():
        alone = len(by_seed) == 1
        having = [results if alone else results.for_means for results in by_seed.values()]
        means = {
            column.name: None
            if column is BEYOND_PLACEBO
            else _mean([results.baseline_values(name, column) for results in having], column)
            for column in columns
        }
        table[name] = {"seeds": len(having), **means}
    return table


def ranks(problems: Sequence[str], rows: Sequence[Json]) -> dict[str, Json]:
    """Average ranks by FPQ, for each feedback level, of the optimizers with FPQ on every problem.

    Optimizers of different levels know different things, so they are not ranked together.

    Returns:
        The ranks by level; without levels of fewer than two such optimizers, and empty for fewer
        than two problems.
    """
    levels = dict.fromkeys(row["feedback"] for row in rows)
    by_level = {
        level: _ranks(problems, [row for row in rows if row["feedback"] == level])
        for level in levels
    }
    return {level: value for level, value in by_level.items() if value is not None}


def _ranks(problems: Sequence[str], rows: Sequence[Json]) -> Json | None:
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["fpq"] is not None:
            table[row["optimizer"]][row["problem"]] = row["fpq"]["value"]
    labels = [label for label, by_problem in table.items() if len(by_problem) == len(problems)]
    if len(problems) < 2 or len(labels) < 2:
        return None
    scores = np.array([[table[label][problem] for label in labels] for problem in problems])
    ranked = ranking(scores)
    order = np.argsort(ranked.ranks, kind="stable")
    return {
        "optimizers": [labels[place] for place in order],
        "ranks": rounded(ranked.ranks[order]),
        "friedman": finite(ranked.friedman),
        "critical_difference": finite(ranked.critical_difference),
        "problems": len(problems),
    }


def run(run: StoredRun) -> Json:
    """The record of a run, without the path of its data and the URL of its encoder."""
    manifest, config = run.manifest, run.config.as_dict()
    told = {key: value for key, value in config.items() if key not in ("data_root", "overrides")}
    return {
        "name": run.run_id,
        "problem": run.problem,
        "optimizer": run.label,
        "seed": run.config.seed,
        "status": run.status,
        "verdict": run.verdict.text,
        "fpq": run.fpq.as_dict() if run.fpq is not None else None,
        "recovery": run.scores[-1].recovery.as_dict() if len(run.scores) > 1 else None,
        "error": _without_places(manifest.error or "", run.config),
        "spent": run.spent,
        "config": told,
        "parameters": manifest.parameters,
        "versions": manifest.versions,
        "plugins": manifest.plugins,
        "encoder": manifest.encoder.digest,
        "dataset": manifest.dataset.digest,
        "bill": run.bill.as_dict() if run.bill is not None else None,
        "wall_seconds": round(manifest.wall_seconds, 1),
    }


def _without_places(error: str, config: RunConfig) -> str:
    url = str(config.overrides.get("encoder", {}).get("url", ""))
    error = re.sub(r"https?://\S+", "\N{HORIZONTAL ELLIPSIS}", error)
    for place in (config.data_root, urlsplit(url).netloc, urlsplit(url).hostname):
        if place:
            error = error.replace(str(place), "\N{HORIZONTAL ELLIPSIS}")
    return error
