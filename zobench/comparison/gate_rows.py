"""The rows of a gate's baseline, made from stored runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.records.comparability import OF_A_PROBLEM, differing_values
from zobench.records.stored_run import StoredRun

from .gate_file import Baseline, Row, Sample
from .margins import default_margins, require_margins

DIGITS = 6
WORDS = {
    "feedback": "feedback level",
    **{condition.key: condition.words for condition in OF_A_PROBLEM},
}
"""Words for each condition in messages, by the key of the condition."""


def baseline_of(runs: Sequence[StoredRun], margins: Mapping[str, float] | None = None) -> Baseline:
    """Makes a baseline from runs.

    Args:
        runs: At least one run.
        margins: The allowed loss by quantity; as the quantities declare it if ``None``.

    Raises:
        ConfigError: A run is not done, was ended by a limit of time or cost, or was extended; runs
            of one optimizer and problem differ in a condition or have the same seed; or a value is
            infinite.
    """
    quantities = computable(runs)
    margins = margins_for(runs) if margins is None else dict(margins)
    require_margins(margins, quantities)
    groups: dict[tuple[str, str], list[StoredRun]] = defaultdict(list)
    for run in runs:
        if not run.done:
            raise ConfigError(
                f"{run.location} is {run.status}; a gate needs runs that are done: name others, or "
                "complete it with zobench resume"
            )
        if in_pieces(run):
            raise ConfigError(
                f"{run.location} {in_pieces(run)}; a gate needs runs that had their whole budget at "
                "once, so run it anew in another folder"
            )
        groups[run.label, run.problem].append(run)
    return Baseline(margins, tuple(_row(group, margins) for _, group in sorted(groups.items())))


def in_pieces(run: StoredRun) -> str:
    """Why a run had not its whole budget at once; empty if it had."""
    limit = run.manifest.cut_by
    if limit:
        return f"was ended by {limit} {getattr(run.config, limit):g} before its budget"
    return "was extended after it had ended" if run.manifest.extended else ""


def _row(runs: Sequence[StoredRun], margins: Mapping[str, float]) -> Row:
    first = runs[0]
    for run in runs[1:]:
        before, now = conditions_of(first), conditions_of(run)
        for name in before:
            if before[name] != now[name]:
                this, that = differing_values(before[name], now[name])
                raise ConfigError(
                    f"{first.location} and {run.location} are the same optimizer and problem, but "
                    f"the {WORDS[name]} is {this} in one and {that} in the other; name runs that have "
                    "it in common"
                )
    seeds = [str(run.config.seed) for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"{first.label} on {first.problem} has two runs with the same seed; name only one of them"
        )
    ordered = sorted(runs, key=lambda run: run.config.seed)
    metrics = {}
    for name in margins:
        values = {run: _values(run, _quantity(run, name)) for run in ordered}
        metrics[name] = Sample(
            {str(run.config.seed): round(float(v[0]), DIGITS) for run, v in values.items()},
            {str(run.config.seed): round(float(v[1:].std()), DIGITS) for run, v in values.items()},
        )
    return Row(first.label, first.problem, conditions_of(first), metrics)


def _quantity(run: StoredRun, name: str) -> Metric:
    quantity = next((quantity for quantity in run.quantities if quantity.name == name), None)
    if quantity is None:
        raise ConfigError(
            f"{run.location} has no {name}, which a gate's margin names (runs without controls have no "
            "beyond_placebo); name runs that have it in common"
        )
    return quantity


def _values(run: StoredRun, quantity: Metric) -> NDArray[np.float64]:
    values = run.values(quantity, alone=True)
    if not np.isfinite(values).all():
        what = "no number (nan)" if np.isnan(values).any() else "infinite"
        raise ConfigError(
            f"{quantity.name} of {run.location} is {what} on some patients, so it cannot be held to a "
            "margin; leave this metric out of the margins"
        )
    return quantity.shown(values)


def conditions_of(run: StoredRun) -> dict[str, Any]:
    """What the runs of a row must have in common, by key, as JSON holds it."""
    conditions = {
        "feedback": run.feedback,
        **{condition.key: condition.of(run) for condition in OF_A_PROBLEM},
    }
    plain: dict[str, Any] = json.loads(json.dumps(conditions))
    return plain


def margins_for(runs: Sequence[StoredRun]) -> dict[str, float]:
    """The margins of a new gate, as the quantities declare them that some run has."""
    there = {quantity.name for run in runs for quantity in run.quantities}
    return default_margins([quantity for quantity in computable(runs) if quantity.name in there])


def computable(runs: Sequence[StoredRun]) -> Sequence[Metric]:
    """The quantities that this installation can compute, whatever the runs have scored."""
    return (FPQ, RECOVERY, BEYOND_PLACEBO, *runs[0].metrics)
