"""Checks runs against a baseline file, for ``zobench gate`` in continuous integration.

A quantity fell if its mean over seeds is worse than in the baseline by more than the margin, and
the 95 % interval of the gain lies below 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.measures.recovery import ROUNDING
from zobench.records.comparability import differing_values
from zobench.records.stored_run import StoredRun

from .gate_file import Baseline, Row, Sample, read_baseline
from .gate_rows import WORDS, baseline_of, computable, conditions_of, in_pieces

CheckStanding = Literal["holds", "fell", "rose", "missing", "new"]


@dataclass(frozen=True)
class Check:
    """One quantity of one optimizer on one problem, compared with the baseline.

    Attributes:
        optimizer: Label of the optimizer.
        feedback: The optimizer's feedback level.
        problem: Name of the problem.
        metric: Name of the quantity.
        before: Mean over the seeds of the baseline; NaN if the baseline has no such row.
        now: Mean over the compared seeds of the runs; NaN if there are no such runs.
        gain: Gain since the baseline; negative means worse, also for a quantity of which lower
            values are better.
        half_width: Half the width of the 95 % interval of the gain.
        margin: The allowed loss.
        standing: The result of the check; ``fell`` and ``missing`` make the gate fail.
    """

    optimizer: str
    feedback: str
    problem: str
    metric: str
    before: float
    now: float
    gain: float
    half_width: float
    margin: float
    standing: CheckStanding


def fitting(
    runs: Sequence[StoredRun], path: Path, note: Callable[[str], None] = lambda text: None
) -> list[StoredRun]:
    """The runs that a baseline speaks of: those of its conditions, where it has a row for them.

    Of the others, those are left out, with a note, that had not their whole budget at once, that
    are on a problem of the baseline under other conditions than its rows, or that differ in a
    condition from their row, where other runs of the row do not.

    Args:
        runs: At least one run.
        path: The baseline file.
        note: Receives a sentence on each run that is left out for such a reason.

    Raises:
        ConfigError: The file cannot be read, or is not a baseline; all runs of one of its rows have
            other conditions; or no run is kept.
    """
    rows = {(row.optimizer, row.problem): row for row in read_baseline(path, computable(runs)).rows}
    beside = [(run, rows.get((run.label, run.problem)), conditions_of(run)) for run in runs]
    met = [row for _, row, now in beside if row and not _differing(row.conditions, now)]
    kept = []
    for run, row, conditions in beside:
        if row is not None:
            if row not in met:
                _require_conditions(row, conditions)
            if differing := _differing(row.conditions, conditions):
                note(f"left out {run.location}: {differing}")
            else:
                kept.append(run)
        elif in_pieces(run):
            note(f"left out {run.location}, which {in_pieces(run)}")
        elif difference := _from_all_of_its_problem(run, list(rows.values())):
            note(f"left out {run.location}, without a row in the baseline: {difference}")
        else:
            kept.append(run)
    if not kept:
        raise ConfigError(
            f"none of the runs can be held to {path}; run its optimizers as they were run for it, or "
            "write another baseline with --update"
        )
    return kept


def _from_all_of_its_problem(run: StoredRun, rows: Sequence[Row]) -> str:
    """In what a run differs from the rows of its problem; empty if it fits one, or there is none."""
    mine = {name: value for name, value in conditions_of(run).items() if name != "feedback"}
    others = [
        _differing({name: row.conditions.get(name) for name in mine}, mine)
        for row in rows
        if row.problem == run.problem
    ]
    return min(others, key=len, default="")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what conditions differ, in words; empty if they are the same."""
    different = [name for name in {**before, **now} if now.get(name) != before.get(name)]
    pairs = {name: differing_values(before.get(name), now.get(name)) for name in different}
    return "; ".join(
        f"the {WORDS.get(name, name)} was {this} and is {that}"
        for name, (this, that) in pairs.items()
    )


def _require_conditions(row: Row, now: Mapping[str, Any]) -> None:
    if differing := _differing(row.conditions, now):
        raise ConfigError(
            f"{row.optimizer} on {row.problem} cannot be held to the baseline: {differing}; run it as "
            "the baseline was, or write another with --update"
        )


def check(before: Baseline, now: Baseline, quantities: Sequence[Metric]) -> list[Check]:
    """Compares every value of a baseline with the current runs, and lists rows that are new.

    Args:
        before: The committed baseline.
        now: The baseline made from the current runs.
        quantities: The quantities that this installation can compute.

    Raises:
        ConfigError: The current runs of a row have other conditions than the baseline, or have some
            but not all of its seeds.
    """
    directions = {quantity.name: quantity.higher_is_better for quantity in quantities}
    mine = {(row.optimizer, row.problem): row for row in now.rows}
    checks: list[Check] = []
    for row in before.rows:
        measured = mine.pop((row.optimizer, row.problem), None)
        if measured is not None:
            _require_conditions(row, measured.conditions)
        for name, sample in row.metrics.items():
            other = _on_the_same_seeds(row, sample, measured.metrics[name]) if measured else None
            checks.append(_check(row, name, sample, other, before.margins[name], directions[name]))
    for row in mine.values():
        checks += [
            _check(row, name, None, sample, before.margins[name], directions[name])
            for name, sample in row.metrics.items()
        ]
    return checks


def _on_the_same_seeds(row: Row, before: Sample, now: Sample) -> Sample:
    """The current values to compare with a row of the baseline.

    Returns:
        The values of the baseline's seeds if the runs have all of these seeds; all current values
        if the runs have none of them.

    Raises:
        ConfigError: The runs have some, but not all, of the baseline's seeds.
    """
    missing = before.values.keys() - now.values.keys()
    if missing == before.values.keys():
        return now  # no seed in common: the means are compared unpaired
    if missing:
        raise ConfigError(
            f"{row.optimizer} on {row.problem} has seeds {', '.join(sorted(before.values, key=int))} "
            f"in the baseline, and the runs lack seed {', '.join(sorted(missing, key=int))}; run it, too"
        )
    kept = ({seed: numbers[seed] for seed in before.values} for numbers in (now.values, now.errors))
    return Sample(*kept)


def _check(
    row: Row,
    metric: str,
    before: Sample | None,
    now: Sample | None,
    margin: float,
    higher_is_better: bool,
) -> Check:
    old, new = (math.nan if sample is None else _mean(sample.values) for sample in (before, now))
    gain = half = math.nan
    standing: CheckStanding = "missing" if now is None else "new"
    if before is not None and now is not None:
        sign = 1.0 if higher_is_better else -1.0
        gain, half = sign * (new - old), _half_width(before, now)
        standing = "holds"
        beyond = abs(gain) > margin + ROUNDING
        if beyond and gain + half < 0:
            standing = "fell"
        elif beyond and gain - half > 0:
            standing = "rose"
    level = str(row.conditions.get("feedback"))
    return Check(row.optimizer, level, row.problem, metric, old, new, gain, half, margin, standing)


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))


def _half_width(before: Sample, now: Sample) -> float:
    """Half the width of the 95 % interval of the difference between two means over seeds.

    If both samples have the same seeds, at least two, this is Student's interval over the
    differences by seed. Otherwise it is Welch's interval. A sample with one seed has no variance
    between seeds; Welch's interval then uses the standard error over patients for this sample.
    """
    from scipy.special import ndtri, stdtrit

    same = before.values.keys() == now.values.keys()
    if same and len(now.values) > 1:
        gains = [now.values[seed] - before.values[seed] for seed in now.values]
        error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
        return float(stdtrit(len(gains) - 1, 0.975)) * error
    parts, weights = [], []
    for sample in (before, now):
        values, count = list(sample.values.values()), len(sample.values)
        if count > 1:
            parts.append(float(np.var(values, ddof=1)) / count)
            weights.append(parts[-1] ** 2 / (count - 1))
        else:
            (error,) = sample.errors.values()
            parts.append(error**2)
            weights.append(0.0)
    total = sum(parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(weights) if sum(weights) else math.inf
    quantile = stdtrit(freedom, 0.975) if math.isfinite(freedom) else ndtri(0.975)
    return float(quantile) * math.sqrt(total)


def check_runs(runs: Sequence[StoredRun], path: Path) -> list[Check]:
    """Checks runs against a baseline file.

    Raises:
        ConfigError: The file is not a baseline, a run is not done or had not its whole budget at
            once, two runs of one row have the same seed, a value is infinite, or conditions or seeds
            do not match the baseline.
    """
    quantities = computable(runs)
    before = read_baseline(path, quantities)
    return check(before, baseline_of(runs, before.margins), quantities)
