"""What an edit is worth downstream: heads refitted on edited images, metrics on edited test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .datasets import Progress, silent
from .embedding import MeteredEncoder, embed_images
from .fairness import SIGNED, Predictions, patient_weights, signed_metrics_of_all
from .heads import Head, Protocol, fit_head, fit_sensitive_head
from .images import Images
from .recovery import fairness_per_query, recovery
from .streams import generator
from .transport import Sent, what_arrives

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval over patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Raw:
    """What scoring one edit found, before any statistics; this is what the store keeps.

    Attributes:
        queries: Queries spent when the optimizer recommended the edit; 0 for ERM.
        objective: L on all test images, lower is better for the optimizer.
        norm: ||edit||_2.
        sa_frozen: Accuracy in percent of the SA head g that was trained on clean embeddings.
        sa_refitted: Accuracy in percent of an SA head trained anew on edited images.
        score: Disease scores of the test images.
        sent: What 8-bit transport left of the edit on the test images; ``None`` where floats travel
            exactly, and for ERM.
    """

    queries: int
    objective: float
    norm: float
    sa_frozen: float
    sa_refitted: float
    score: tuple[float, ...]
    sent: Sent | None = None


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
class Scorer:
    """Scores edits of one run, all with the same images, heads' seeds and resamples.

    Attributes:
        train: Images that both heads learn from.
        test: Images that metrics are computed on.
        encoder: The metered encoder.
        frozen: The SA head g of the objective.
        penalty: lambda.
        protocol: How heads are trained.
        seed: Seed of the run.
    """

    train: Images
    test: Images
    encoder: MeteredEncoder
    frozen: Head
    penalty: float
    protocol: Protocol
    seed: int

    def score(
        self,
        edit: Tensor,
        queries: int,
        clean_train: NDArray[np.float32] | None = None,
        progress: Progress = silent,
    ) -> Raw:
        """Embeds edited images, refits the heads and predicts.

        Args:
            edit: ``(1, H, W)``.
            queries: What the optimizer had spent.
            clean_train: Embeddings of the training images where they are known already (ERM).
            progress: Called with images done and images in all.
        """
        import torch

        total = len(self.test) + (0 if clean_train is not None else len(self.train))
        test = embed_images(
            self.encoder, self.test, "score", edit, lambda done, _: progress(done, total)
        )
        train = clean_train
        if train is None:
            train = embed_images(
                self.encoder,
                self.train,
                "score",
                edit,
                lambda done, _: progress(len(self.test) + done, total),
            )
        rng = generator(self.seed, "heads")
        disease = fit_head(train, self.train.label, protocol=self.protocol, role="disease", rng=rng)
        refitted = fit_sensitive_head(
            train, self.train.sensitive, self.train.label, protocol=self.protocol, rng=rng
        )
        entropy = self.frozen.cross_entropy(
            torch.from_numpy(test), torch.from_numpy(self.test.sensitive)
        )
        norm = float(edit.double().norm())
        return Raw(
            queries=queries,
            objective=-float(entropy.mean()) + self.penalty * norm,
            norm=norm,
            sa_frozen=_accuracy(self.frozen, test, self.test.sensitive),
            sa_refitted=_accuracy(refitted, test, self.test.sensitive),
            score=tuple(disease.score(test).tolist()),
            sent=None
            if self.encoder.spec.exact_floats or not norm
            else what_arrives(self.test, edit),
        )


def _accuracy(head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(100.0 * (head.predict(embeddings) == labels).mean())


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
        metrics: By name ``(S + 1, R + 1)``, in percent; gaps in :data:`~zobench.fairness.SIGNED` keep
            the sign of a=1 minus a=0.
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


def raw_from_json(row: Mapping[str, Any]) -> Raw:
    """A :class:`Raw` as the store wrote it."""
    sent = row.get("sent")
    return Raw(**{**row, "score": tuple(row["score"]), "sent": Sent(**sent) if sent else None})
