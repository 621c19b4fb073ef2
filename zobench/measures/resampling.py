"""What scores are worth: metrics, recovery and FPQ with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.random_streams import generator
from zobench.problem.quantization import Sent
from zobench.runs.scoring import Raw

from .group_rates import SIGNED, Predictions, patient_weights, signed_metrics_of_all
from .recovery import fairness_per_query, recovery

Floats = NDArray[np.float64]

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval over patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """One row of the result table; metrics in percent."""

    queries: int
    objective: float
    norm: float
    sa_frozen: float
    sa_refitted: float
    metrics: Mapping[str, Estimate]
    recovery: Estimate
    sent: Sent | None = None


@dataclass(frozen=True)
class Summary:
    """All rows of a run and its headline."""

    scores: tuple[Score, ...]
    fpq: Estimate


@dataclass(frozen=True)
class Resamples:
    """A run's numbers on its test patients (column 0) and on R bootstrap resamples of them.

    Runs with equal test images and seed see the same resamples, so their differences are paired.

    Attributes:
        queries: ``(S + 1,)``; ERM is the first of the rows, with 0.
        metrics: By name ``(S + 1, R + 1)``, in percent; signed gaps keep the sign of a=1
            minus a=0.
        recovery: ``(S + 1, R + 1)``.
        fpq: ``(R + 1,)``.
    """

    queries: tuple[int, ...]
    metrics: Mapping[str, Floats]
    recovery: Floats
    fpq: Floats


def resample(
    raws: Sequence[Raw],
    patient: NDArray[np.int64],
    label: NDArray[np.int64],
    sensitive: NDArray[np.int64],
    *,
    seed: int,
    replicates: int,
    tolerance: float,
    first: int,
    budget: int,
    auc: bool = True,
) -> Resamples:
    """Metrics, recovery and FPQ of all rows, on the data and on resamples of the patients.

    Args:
        raws: ERM, then the snapshots by increasing queries.
        patient: Patient numbers of the test images.
        label: Disease of the test images.
        sensitive: Sensitive attribute of the test images.
        seed: Seed of the run.
        replicates: Bootstrap resamples; 0 for the data alone.
        tolerance: Points of accuracy that an edit may cost before its recovery counts as 0.
        first: Queries of one evaluation.
        budget: Queries that the optimizer was given.
        auc: Whether to compute the AUC, which takes most of the time.
    """
    weights = bootstrap_weights(patient, label, sensitive, seed, replicates)
    answers = [Predictions(np.asarray(raw.score), label, sensitive) for raw in raws]
    tables = signed_metrics_of_all(answers, weights, auc=auc)
    erm = tables[0]
    shares = np.stack(
        [
            recovery(
                erm["eodds_average"],
                found["eodds_average"],
                erm["accuracy"],
                found["accuracy"],
                tolerance,
            )
            for found in tables
        ]
    )
    queries = tuple(raw.queries for raw in raws)
    area = fairness_per_query(list(queries[1:]), shares[1:], first, budget)
    return Resamples(
        queries=queries,
        metrics={name: np.stack([found[name] for found in tables]) for name in tables[0]},
        recovery=shares,
        fpq=np.broadcast_to(area, (len(weights),)),
    )


def bootstrap_weights(
    patient: NDArray[np.int64],
    label: NDArray[np.int64],
    sensitive: NDArray[np.int64],
    seed: int,
    replicates: int,
) -> Floats:
    """``(R + 1, n)``: how often each test image counts on the data and in each of R resamples."""
    columns = (each.tobytes() for each in (patient, label, sensitive))
    return _counts(*columns, seed, replicates).astype(np.float64)


@lru_cache(maxsize=32)
def _counts(
    patient: bytes, label: bytes, sensitive: bytes, seed: int, replicates: int
) -> NDArray[np.uint16]:
    """As :func:`bootstrap_weights`, kept small: all runs on the same test images see the same."""
    who, y, a = (np.frombuffer(each, dtype=np.int64) for each in (patient, label, sensitive))
    data = np.ones((1, len(who)), dtype=np.uint16)
    if not replicates:
        return data
    drawn = patient_weights(who, y, a, replicates, generator(seed, "bootstrap"))
    return np.concatenate([data, drawn.astype(np.uint16)])


def summarise(raws: Sequence[Raw], resamples: Resamples) -> Summary:
    """Every number with its interval.

    Args:
        raws: ERM, then the snapshots by increasing queries.
        resamples: Of the same rows.
    """
    scores = tuple(
        Score(
            queries=raw.queries,
            objective=raw.objective,
            norm=raw.norm,
            sa_frozen=raw.sa_frozen,
            sa_refitted=raw.sa_refitted,
            metrics={
                name: (_gap_estimate if name in SIGNED else _estimate)(values[row])
                for name, values in resamples.metrics.items()
            },
            recovery=_estimate(resamples.recovery[row]),
            sent=raw.sent,
        )
        for row, raw in enumerate(raws)
    )
    return Summary(scores=scores, fpq=_estimate(resamples.fpq))


def _estimate(values: Floats) -> Estimate:
    """The value on the data itself (row 0) with the percentile interval of the resamples.

    Row 0 is one of the values that the interval must hold: a gap cannot fall below 0, so near 0 its
    resamples lie above it.
    """
    low, high = np.percentile(values[1:], INTERVAL, method="inverted_cdf")
    value = float(values[0])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _gap_estimate(signed: Floats) -> Estimate:
    """Interval of an absolute difference: that of the difference itself, folded at 0."""
    inner = _estimate(signed)
    ends = (abs(inner.low), abs(inner.high))
    low = 0.0 if inner.low <= 0.0 <= inner.high else min(ends)
    return Estimate(abs(inner.value), low, max(ends))
