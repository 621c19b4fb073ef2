"""The tables of the report, as plain data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from zobench.billing.bill import read_bill
from zobench.measures.interval import two_level
from zobench.records.result import stored_ledger
from zobench.records.stored_run import Floats, Measured, possible
from zobench.statistics import expected_queries, expected_queries_interval, ranking, success_rate

from .numbers import Json, finite, interval, rounded

Group = tuple[str, str]
"""Problem and optimizer."""

SHOWN = ("eo_n", "eo_p", "di_gap_tpr", "accuracy")


def facts(
    runs: Sequence[Measured], groups: Mapping[Group, Sequence[Measured]]
) -> tuple[tuple[str, str], ...]:
    """What was run, on what and with what, as rows of (name, value)."""

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


def row(
    group: Group, members: Sequence[Measured], targets: Sequence[float], rng: np.random.Generator
) -> Json:
    """A row of the headline table; a number that nothing is known of is ``None``."""
    problem, label = group
    done = [run for run in members if run.status == "done"]
    counted = [run for run in members if run.counts]

    def mean(name: str) -> Json | None:
        return _mean([run.metric(name) for run in done], name, rng)

    row: Json = {
        "problem": problem,
        "optimizer": label,
        "feedback": members[0].manifest["feedback"],
        "seeds": len(members),
        "done": len(done),
        "fpq": mean("fpq"),
        "recovery": mean("recovery"),
        **{name: mean(name) for name in SHOWN},
        "ert": [],
        "success": [],
    }
    spent = [run.charged for run in counted]
    for target in targets:
        if not counted:
            row["ert"].append(None)
            row["success"].append(None)
            continue
        reached = [run.reached(target) for run in counted]
        low, high = expected_queries_interval(reached, spent, rng)
        ert = {"value": expected_queries(reached, spent), "low": low, "high": high}
        row["ert"].append({key: finite(value) for key, value in ert.items()})
        row["success"].append(success_rate(reached))
    return row


def erm(groups: Mapping[str, Sequence[Measured]], rng: np.random.Generator) -> Json:
    """Metrics before any edit, of one run a seed; none of them where nothing is scored."""
    by_seed = {
        run.config.seed: run.resamples
        for members in groups.values()
        for run in members
        if run.resamples is not None
    }

    def mean(name: str) -> Json | None:
        values = [np.abs(resamples.metrics[name][0]) for resamples in by_seed.values()]
        return _mean(values, name, rng)

    return {"seeds": len(by_seed), **{name: mean(name) for name in SHOWN}}


def _mean(values: Sequence[Floats], name: str, rng: np.random.Generator) -> Json | None:
    """A mean over seeds; of ratios that are infinite on some patients there is none."""
    if not values or not all(np.isfinite(each).all() for each in values):
        return None
    return interval(possible(two_level(values, rng), name))


def spending(group: Group, members: Sequence[Measured]) -> Json:
    """Images by purpose, mean over runs; backward images apart, so that any cost can be applied."""
    counts = [stored_ledger(run.folder, run.manifest, run.config) for run in members]
    keys = (("setup", "forward"), ("optimize", "forward"), ("optimize", "backward"))
    sums = {
        f"{purpose}_{what}": float(np.mean([each[purpose][what] for each in counts]))
        for purpose, what in (*keys, ("score", "forward"))
    }
    cost = members[0].config.backward_cost
    return {"problem": group[0], "optimizer": group[1], "backward_cost": cost, **sums}


def ranks(problems: Sequence[str], rows: Sequence[Json]) -> Json | None:
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
        "ranks": rounded(found.ranks[order]),
        "friedman": finite(found.friedman),
        "critical_difference": finite(found.critical_difference),
        "problems": len(problems),
    }


def run(run: Measured) -> Json:
    """Everything that was recorded of a run, but where its data lie and its service lives."""
    config, manifest = run.manifest["config"], run.manifest
    told = {key: value for key, value in config.items() if key not in ("data_root", "overrides")}
    bill = read_bill(run.folder, manifest["encoder"].get("price", 0.0))
    return {
        "name": run.folder.name,
        "problem": run.problem,
        "optimizer": run.label,
        "seed": run.config.seed,
        "status": run.status,
        "error": _without_places(manifest.get("error") or "", config),
        "spent": run.spent,
        "config": told,
        "parameters": manifest["parameters"],
        "versions": manifest["versions"],
        "plugins": manifest["plugins"],
        "encoder": manifest["encoder"]["digest"],
        "dataset": manifest["dataset"]["digest"],
        "bill": bill.as_dict() if bill is not None else None,
        "wall_seconds": round(manifest.get("wall_seconds", 0.0), 1),
    }


def _without_places(error: str, config: Mapping[str, Any]) -> str:
    url = str(config["overrides"].get("encoder", {}).get("url", ""))
    error = re.sub(r"https?://\S+", "\N{HORIZONTAL ELLIPSIS}", error)
    for place in (config["data_root"], urlsplit(url).netloc, urlsplit(url).hostname):
        if place:
            error = error.replace(str(place), "\N{HORIZONTAL ELLIPSIS}")
    return error
