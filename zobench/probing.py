"""What a linear head can read from an encoder: patient-grouped cross-validation, no bias added."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import RunConfig, cache_folder
from .datasets import Dataset, DatasetRequest
from .embedding import MeteredEncoder, embed_films
from .encoders import Encoder, EncoderRequest
from .fairness import Predictions, metrics
from .heads import fit_head
from .images import load_films
from .ledger import Ledger
from .plugins import Registry, load_registry
from .progress import Listener

FOLDS = 5


@dataclass(frozen=True)
class Readout:
    """How well one label is read, in percent, over all held-out films."""

    accuracy: float
    auc: float


@dataclass(frozen=True)
class Probe:
    """What was probed and what was read."""

    films: int
    patients: int
    folds: int
    sensitive: Readout
    disease: Readout

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def probe_encoder(
    config: RunConfig, films: int, listener: Listener, registry: Registry | None = None
) -> Probe:
    """Cross-validates linear heads for the sensitive attribute and for the disease.

    Args:
        config: Encoder, dataset, disease and seed; the rest is not used.
        films: Use at most so many films, whole patients at a time.
        listener: Told of progress.
        registry: Plugins; those of the installed packages if ``None``.
    """
    registry = registry or load_registry()
    encoder, dataset = _parts(config, registry)
    rng = np.random.default_rng(config.seed)
    records = dataset.records
    patients = rng.permutation(np.unique(records.patient))
    rank = np.empty(int(patients.max()) + 1, dtype=np.int64)
    rank[patients] = np.arange(len(patients))
    order = np.argsort(rank[records.patient], kind="stable")[:films]
    listener.phase("prepare films", len(order))
    chosen = load_films(dataset, order, lambda done, _: listener.update(done))
    listener.phase("probe", len(order))
    metered = MeteredEncoder(encoder, Ledger())
    embeddings = embed_films(
        metered, chosen, "setup", progress=lambda done, _: listener.update(done)
    )
    fold = rank[chosen.patient] % FOLDS
    return Probe(
        films=len(order),
        patients=len(np.unique(chosen.patient)),
        folds=FOLDS,
        sensitive=_read(embeddings, chosen.sensitive, fold),
        disease=_read(embeddings, chosen.label, fold),
    )


def _read(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], fold: NDArray[np.int64]
) -> Readout:
    scores = np.empty(len(labels))
    rng = np.random.default_rng(0)
    for number in range(FOLDS):
        held = fold == number
        head = fit_head(
            embeddings[~held], labels[~held], protocol="converged", role="disease", rng=rng
        )
        scores[held] = head.score(embeddings[held])
    found = metrics(Predictions(scores, labels, np.zeros_like(labels)))
    return Readout(float(found["accuracy"][0]), float(found["auc"][0]))


def _parts(config: RunConfig, registry: Registry) -> tuple[Encoder, Dataset]:
    offer, argument = registry.find("encoders", config.encoder)
    request = EncoderRequest(
        config.encoder, argument, config.device, config.precision, cache_folder()
    )
    encoder: Encoder = offer.plugin.make(request, config.overrides.get("encoder", {}), "encoder")
    offer, _ = registry.find("datasets", config.dataset)
    root = Path(config.data_root).expanduser() if config.data_root is not None else None
    dataset: Dataset = offer.plugin.make(
        DatasetRequest(config.disease, root, encoder.spec.image_shape[1], cache_folder()),
        config.overrides.get("dataset", {}),
        "dataset",
    )
    return encoder, dataset
