"""Checks runs against a baseline file, for ``zobench gate`` in continuous integration.

A baseline is a small JSON file that is committed to a repository. It holds the values of earlier
runs and the loss that is allowed for each quantity. A quantity fell if its mean over seeds is worse
than in the baseline by more than the margin, and the 95 % interval of the gain lies below 0.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError, DamagedError, StoreError
from zobench.files.json_files import Json, read_json, write_json
from zobench.measures.recovery import BEYOND_PLACEBO, FPQ, RECOVERY
from zobench.records.comparability import OF_A_PROBLEM
from zobench.records.stored_run import StoredRun

from .margins import default_margins, require_margins

SCHEMA = 4
DIGITS = 6
WORDS = {"feedback": "feedback level", **{each.key: each.words for each in OF_A_PROBLEM}}
"""Words for each condition in messages, by the key of the condition."""

CheckStanding = Literal["holds", "fell", "rose", "missing", "new"]


@dataclass(frozen=True)
class Sample:
    """The values of one quantity of one optimizer on one problem, by seed.

    Attributes:
        values: Value of the quantity, by seed.
        errors: Standard error of the value over patients, by seed.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """The baseline values of one optimizer on one problem.

    Attributes:
        optimizer: Label of the optimizer.
        problem: Name of the problem, see :func:`zobench.records.identity.problem`.
        conditions: Values of the conditions that runs must have in common, by key.
        metrics: Values by seed of each quantity, by name of the quantity.
    """

    optimizer: str
    problem: str
    conditions: Mapping[str, Any]
    metrics: Mapping[str, Sample]


@dataclass(frozen=True)
class Baseline:
    """The content of a baseline file: one allowed loss per quantity, one row per group of runs."""

    margins: Mapping[str, float]
    rows: tuple[Row, ...]


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
            raise ConfigError(f"{run.location} is {run.status}; a gate needs runs that are done")
        if _in_pieces(run):
            raise ConfigError(
                f"{run.location} {_in_pieces(run)}; a gate needs runs that had their whole budget at "
                "once, so run it anew in another folder"
            )
        groups[run.label, run.problem].append(run)
    return Baseline(margins, tuple(_row(group, margins) for _, group in sorted(groups.items())))


def _in_pieces(run: StoredRun) -> str:
    """Why a run had not its whole budget at once; empty if it had."""
    limit = run.manifest.cut_by
    if limit:
        return f"was ended by {limit} {getattr(run.config, limit):g} before its budget"
    return "was extended after it had ended" if run.manifest.extended else ""


def _row(runs: Sequence[StoredRun], margins: Mapping[str, float]) -> Row:
    first = runs[0]
    for run in runs[1:]:
        before, now = _conditions(first), _conditions(run)
        for name in before:
            if before[name] != now[name]:
                raise ConfigError(
                    f"{first.location} and {run.location} are the same optimizer and problem, but "
                    f"the {WORDS[name]} is {before[name]} in one and {now[name]} in the other; name "
                    "runs that have it in common"
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
    return Row(first.label, first.problem, _conditions(first), metrics)


def _quantity(run: StoredRun, name: str) -> Metric:
    found = next((each for each in run.quantities if each.name == name), None)
    if found is None:
        raise ConfigError(
            f"{run.location} has no {name}, which a gate's margin names (runs without controls have no "
            "beyond_placebo); name runs that have it in common"
        )
    return found


def _values(run: StoredRun, quantity: Metric) -> NDArray[np.float64]:
    found = run.values(quantity, alone=True)
    if not np.isfinite(found).all():
        raise ConfigError(
            f"{quantity.name} of {run.location} is infinite on some patients, so it cannot be held to a "
            "margin; leave this metric out of the margins"
        )
    return quantity.shown(found)


def _conditions(run: StoredRun) -> dict[str, Any]:
    found = {"feedback": run.feedback, **{each.key: each.of(run) for each in OF_A_PROBLEM}}
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def fitting(
    runs: Sequence[StoredRun], path: Path, note: Callable[[str], None] = lambda text: None
) -> list[StoredRun]:
    """The runs that a baseline speaks of: those of its conditions, where it has a row for them.

    Of the others, those are left out, with a note, that had not their whole budget at once, or
    that are on a problem of the baseline under other conditions than its rows.

    Args:
        runs: At least one run.
        path: The baseline file.
        note: Receives a sentence on each run that is left out for such a reason.

    Raises:
        ConfigError: The file cannot be read, or is not a baseline; or all runs of one of its rows
            have other conditions.
    """
    rows = {(row.optimizer, row.problem): row for row in read_baseline(path, computable(runs)).rows}
    beside = [(run, rows.get((run.label, run.problem)), _conditions(run)) for run in runs]
    met = [row for _, row, conditions in beside if row and conditions == row.conditions]
    kept = []
    for run, row, conditions in beside:
        if row is not None:
            if conditions == row.conditions:
                kept.append(run)
            elif row not in met:
                _require_conditions(row, conditions)
        elif _in_pieces(run):
            note(f"left out {run.location}, which {_in_pieces(run)}")
        elif difference := _from_all_of_its_problem(run, list(rows.values())):
            note(f"left out {run.location}, without a row in the baseline: {difference}")
        else:
            kept.append(run)
    return kept or list(runs)


def _from_all_of_its_problem(run: StoredRun, rows: Sequence[Row]) -> str:
    """In what a run differs from the rows of its problem; empty if it fits one, or there is none."""
    mine = {name: value for name, value in _conditions(run).items() if name != "feedback"}
    others = [
        _differing({name: row.conditions.get(name) for name in mine}, mine)
        for row in rows
        if row.problem == run.problem
    ]
    return min(others, key=len, default="")


def margins_for(runs: Sequence[StoredRun]) -> dict[str, float]:
    """The margins of a new gate, as the quantities declare them that some run has."""
    there = {each.name for run in runs for each in run.quantities}
    return default_margins([each for each in computable(runs) if each.name in there])


def computable(runs: Sequence[StoredRun]) -> Sequence[Metric]:
    """The quantities that this installation can compute, whatever the runs have scored."""
    return (FPQ, RECOVERY, BEYOND_PLACEBO, *runs[0].metrics)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what conditions differ, in words; empty if they are the same."""
    return "; ".join(
        f"the {WORDS.get(name, name)} was {before.get(name)} and is {now.get(name)}"
        for name in {**before, **now}
        if now.get(name) != before.get(name)
    )


def _require_conditions(row: Row, now: Mapping[str, Any]) -> None:
    if differing := _differing(row.conditions, now):
        raise ConfigError(
            f"{row.optimizer} on {row.problem} cannot be held to the baseline: {differing}; run it as "
            "the baseline was, or write another with --update"
        )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes a baseline file; the order of keys and rows is that of ``baseline``."""
    write_json(path, {"zobench_baseline": SCHEMA, **asdict(baseline)})


def _baseline_content(path: Path) -> Json:
    if not path.exists():
        raise ConfigError(f"there is no baseline {path}; write one with --update")
    try:
        return read_json(path)
    except DamagedError as error:
        raise ConfigError(
            f"{path} is no baseline of zobench, or is damaged: it must end in the checksum of its "
            "content; restore it from version control, or delete it and write it anew with --update"
        ) from error
    except StoreError as error:
        raise ConfigError(f"{error}") from error


def read_baseline(path: Path, quantities: Sequence[Metric]) -> Baseline:
    """Reads a baseline file.

    Args:
        path: The file.
        quantities: The quantities that this installation can compute.

    Raises:
        ConfigError: The file cannot be read, is not a baseline, has another baseline format, or
            names an unknown quantity.
    """
    try:
        found = _baseline_content(path)
        if found["zobench_baseline"] != SCHEMA:
            raise ConfigError(
                f"{path} has baseline format {found['zobench_baseline']}, but this zobench knows "
                f"{SCHEMA}; upgrade zobench, or delete the file and write it anew with --update"
            )
        rows = tuple(
            Row(
                row["optimizer"],
                row["problem"],
                {"until": 0.0, **row["conditions"]},  # baselines of before this was one
                {name: _sample(**each) for name, each in row["metrics"].items()},
            )
            for row in found["rows"]
        )
        margins = {name: float(value) for name, value in found["margins"].items()}
        for name in margins:
            if name not in {each.name for each in quantities}:
                raise ValueError(f"metric {name!r} is unknown")
        if any(set(row.metrics) != set(margins) for row in rows):
            raise ValueError("the metrics of a row are not the metrics named in the margins")
        return Baseline(margins, rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no baseline of zobench ({error!r}); mend it, or name another file"
        ) from error


def _sample(values: Mapping[str, float], errors: Mapping[str, float]) -> Sample:
    """A sample from JSON.

    Raises:
        ValueError: There are no values, a seed is not a whole number, a number is not finite, or
            values and errors have different seeds.
    """
    numbers = [float(each) for each in (*values.values(), *errors.values())]
    if not values or values.keys() != errors.keys():
        raise ValueError("values and errors must have the same seeds, at least one")
    if not all(seed.isdecimal() for seed in values) or not all(map(math.isfinite, numbers)):
        raise ValueError("seeds must be whole numbers, and values and errors finite numbers")
    return Sample(values, errors)


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
    directions = {each.name: each.higher_is_better for each in quantities}
    mine = {(row.optimizer, row.problem): row for row in now.rows}
    checks: list[Check] = []
    for row in before.rows:
        found = mine.pop((row.optimizer, row.problem), None)
        if found is not None:
            _require_conditions(row, found.conditions)
        for name, sample in row.metrics.items():
            other = _on_the_same_seeds(row, sample, found.metrics[name]) if found else None
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
    kept = ({seed: each[seed] for seed in before.values} for each in (now.values, now.errors))
    return Sample(*kept)


def _check(
    row: Row,
    metric: str,
    before: Sample | None,
    now: Sample | None,
    margin: float,
    higher_is_better: bool,
) -> Check:
    old, new = (math.nan if each is None else _mean(each.values) for each in (before, now))
    gain = half = math.nan
    standing: CheckStanding = "missing" if now is None else "new"
    if before is not None and now is not None:
        sign = 1.0 if higher_is_better else -1.0
        gain, half = sign * (new - old), _half_width(before, now)
        standing = "holds"
        if gain < -margin and gain + half < 0:
            standing = "fell"
        elif gain > margin and gain - half > 0:
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
    from scipy.stats import norm, t

    same = before.values.keys() == now.values.keys()
    if same and len(now.values) > 1:
        gains = [now.values[seed] - before.values[seed] for seed in now.values]
        error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
        return float(t.ppf(0.975, len(gains) - 1)) * error
    parts, weights = [], []
    for each in (before, now):
        values, count = list(each.values.values()), len(each.values)
        if count > 1:
            parts.append(float(np.var(values, ddof=1)) / count)
            weights.append(parts[-1] ** 2 / (count - 1))
        else:
            (error,) = each.errors.values()
            parts.append(error**2)
            weights.append(0.0)
    total = sum(parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(weights) if sum(weights) else math.inf
    quantile = t.ppf(0.975, freedom) if math.isfinite(freedom) else norm.ppf(0.975)
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
