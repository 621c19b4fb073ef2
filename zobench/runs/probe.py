"""Cross-validates linear heads on an encoder's embeddings, with patient-disjoint folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.billing.account import check_service, close_and_tell
from zobench.config import RunConfig
from zobench.contracts.dataset import Dataset, Records
from zobench.contracts.listener import Listener
from zobench.contracts.metric import Predictions
from zobench.contracts.purpose import Purpose
from zobench.errors import ConfigError
from zobench.measures.interval import Interval, interval
from zobench.measures.patient_bootstrap import ScoredImages, bootstrap_weights
from zobench.measures.roc import weighted_auc
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import fit_head
from zobench.problem.images import load_images
from zobench.registry.discovery import Registry, load_registry

from .parts import Shape, make_dataset, make_encoder, precheck_dataset
from .resolved import resolve_config

FOLDS = 5


@dataclass(frozen=True)
class Readout:
    """Accuracy and AUC of the predictions of one label for held-out images.

    Attributes:
        accuracy: In percent, with its interval over patients.
        auc: In percent, with its interval over patients; above 50 where the encoder reads the label.
    """

    accuracy: Interval
    auc: Interval

    @property
    def reads(self) -> bool:
        """Whether the encoder reads the label: the AUC's interval lies above 50 %."""
        return self.auc.low > 50.0


@dataclass(frozen=True)
class Probe:
    """The result of a probe: images, patients and folds, a readout of each label, and notes."""

    images: int
    patients: int
    folds: int
    sensitive: Readout
    disease: Readout
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The probe as a JSON object."""
        content = {name: getattr(self, name) for name in ("images", "patients", "folds", "notes")}
        for name in ("sensitive", "disease"):
            readout: Readout = getattr(self, name)
            accuracy, auc = readout.accuracy.as_dict(), readout.auc.as_dict()
            content[name] = {"accuracy": accuracy, "auc": auc, "reads": readout.reads}
        return content


def probe_encoder(
    config: RunConfig, limit: int, listener: Listener, registry: Registry | None = None
) -> Probe:
    """Cross-validates linear heads for the sensitive attribute and for the disease.

    Args:
        config: Names the encoder, dataset and disease, how to load them, and the seed.
        limit: Largest number of images; a patient's images are all used or all left out.
        listener: Receives the progress.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: The images are of too few patients for the folds, or all images outside a fold have
            the same label.
    """
    registry = registry or load_registry()
    resolved = resolve_config(config, registry)
    precheck_dataset(config, resolved.dataset)

    def chosen_of(shape: Shape) -> tuple[Dataset, NDArray[np.int64], NDArray[np.int64]]:
        dataset = make_dataset(config, resolved.dataset, shape)
        order, fold = _by_patient(dataset.records, limit, config.seed)
        _require_folds(dataset.records, order, fold, limit)
        return dataset, order, fold

    read = None
    if (outlook := resolved.encoder.outlook) is not None:
        try:
            read = chosen_of(outlook.image_shape)
            count = len(read[1])
        except ConfigError:
            if outlook.shape_known:
                raise
            count = limit  # the real image shape may fit; the service tells it
        checks = outlook.checks(count)
        cost = f", at most {(count + checks) * outlook.price:,.2f}" if outlook.price else ""
        listener.note(
            f"{config.encoder} will be sent: ≤ {count:,} images + check ≤ {checks:,}{cost}"
        )
    encoder = make_encoder(config, resolved.encoder)
    try:
        shape = encoder.spec.image_shape
        if read is None or shape != read[0].spec.shape:
            read = chosen_of(shape)
        dataset, order, fold = read
        notes = (*encoder.spec.notes, *dataset.spec.notes)
        for note in notes:
            listener.note(note)
        listener.phase("prepare images", len(order))
        chosen = load_images(dataset, order, lambda done, _: listener.update(done))
        listener.phase("probe", len(order))
        metered = MeteredEncoder(encoder, Ledger())
        embeddings = embed_images(
            metered, chosen, Purpose.SETUP, progress=lambda done, _: listener.update(done)
        )
        check_service(encoder)
    finally:
        close_and_tell(encoder, listener)
    scored = ScoredImages(chosen.patient, chosen.label, chosen.sensitive)
    weights = bootstrap_weights(scored, config.seed, config.replicates)
    return Probe(
        images=len(order),
        patients=len(np.unique(chosen.patient)),
        folds=FOLDS,
        sensitive=_read(embeddings, chosen.sensitive, fold, weights),
        disease=_read(embeddings, chosen.label, fold, weights),
        notes=notes,
    )


def _by_patient(
    records: Records, limit: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images that are used, patient by patient in a random order, and the fold of each.

    Args:
        records: All images.
        limit: Largest number of images; a patient's images are all used or all left out.
        seed: Seed of the random order.
    """
    patients, number = np.unique(records.patient, return_inverse=True)
    rank = np.empty(len(patients), dtype=np.int64)
    rank[np.random.default_rng(seed).permutation(len(patients))] = np.arange(len(patients))
    place = rank[number]
    order = np.argsort(place, kind="stable")
    if len(order) > limit:
        order = order[place[order] < place[order[limit]]]
    return order, place[order] % FOLDS


def _require_folds(
    records: Records, order: NDArray[np.int64], fold: NDArray[np.int64], limit: int
) -> None:
    """Refuses images that leave a fold empty, or its head nothing to learn from."""
    cure = "take more of them (--images)"
    if len(order) == len(records):
        cure = "take a dataset, or a finding, with more patients"
    patients = len(np.unique(records.patient[order]))
    if patients < FOLDS:
        raise ConfigError(
            f"{len(order):,} of {len(records):,} images are used, all of a patient or none and "
            f"{limit:,} at most; they are of {patients} patient{'' if patients == 1 else 's'}, but "
            f"{FOLDS} folds by patient need {FOLDS} patients; {cure}"
        )
    for name, labels in (("sensitive attribute", records.sensitive), ("finding", records.label)):
        for number in range(FOLDS):
            if len(np.unique(labels[order][fold != number])) < 2:
                raise ConfigError(
                    f"the {name} is the same in all images outside fold {number + 1} of {FOLDS}, so "
                    f"nothing can be learned there; {cure}"
                )


def _read(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    fold: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Readout:
    """Held-out predictions of a label, with intervals of the patients' weightings ``(R + 1, n)``."""
    scores = np.empty(len(labels))
    rng = np.random.default_rng(0)
    for number in range(FOLDS):
        held = fold == number
        head = fit_head(
            embeddings[~held], labels[~held], protocol="converged", role="disease", rng=rng
        )
        scores[held] = head.score(embeddings[held])
    predictions = Predictions(scores, labels, np.zeros_like(labels))
    right = ((scores > 0) == labels).astype(np.float64)
    accuracy = 100.0 * (weights @ right) / weights.sum(1)
    return Readout(interval([accuracy]), interval([weighted_auc(predictions, weights)]))
