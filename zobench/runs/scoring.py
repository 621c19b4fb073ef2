"""Scores edits: refits the heads on edited training images, predicts edited test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.head import HeadProtocol
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.objective import Objective
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.measures.edit_score import EditScore
from zobench.measures.fidelity import fidelity
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.oracle.objective_values import checked_values
from zobench.problem.heads import Head, fit_head, fit_sensitive_head
from zobench.problem.images import Images
from zobench.problem.quantization import arrived_edit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Embedded:
    """Embeddings of edited images.

    Attributes:
        train: Embeddings ``(N, D)`` of the training images.
        test: Embeddings ``(n, D)`` of the test images.
    """

    train: NDArray[np.float32]
    test: NDArray[np.float32]


@dataclass(frozen=True)
class Scorer:
    """Scores the edits of one run, all with the same images and the same random stream for heads.

    Attributes:
        train: Training images; both heads are fitted on them.
        test: Test images; the heads predict them.
        encoder: The metered encoder.
        frozen: The SA head g.
        objective: The objective of the run, before it has seen an answer.
        objective_name: Its name, for messages.
        penalty: lambda, the weight of the edit's norm.
        protocol: Training protocol of the heads.
        seed: Seed of the run.
    """

    train: Images
    test: Images
    encoder: MeteredEncoder
    frozen: Head
    objective: Objective
    objective_name: str
    penalty: float
    protocol: HeadProtocol
    seed: int

    @property
    def images(self) -> int:
        """Images to embed for one edit."""
        return len(self.train) + len(self.test)

    def embed(self, edit: Tensor, progress: ReportProgress = silent) -> Embedded:
        """Embeds all edited images, booked as ``score``.

        Args:
            edit: The edit ``(1, H, W)``.
            progress: Called with the number of images embedded so far and the total.
        """
        count, total = len(self.test), self.images
        test = embed_images(
            self.encoder, self.test, Purpose.SCORE, edit, lambda done, _: progress(done, total)
        )
        train = embed_images(
            self.encoder,
            self.train,
            Purpose.SCORE,
            edit,
            lambda done, _: progress(count + done, total),
        )
        return Embedded(train, test)

    def score(self, edit: Tensor, queries: int, embedded: Embedded) -> EditScore:
        """Refits both heads and predicts the test images.

        Args:
            edit: The edit ``(1, H, W)``.
            queries: Queries spent when the optimizer recommended the edit; 0 for ERM.
            embedded: The embeddings of the edited images.

        Raises:
            PluginError: The objective gave something else than a finite float64 number.
        """
        import torch

        train, test, rng = embedded.train, embedded.test, generator(self.seed, "heads")
        disease = fit_head(train, self.train.label, protocol=self.protocol, role="disease", rng=rng)
        refitted = fit_sensitive_head(
            train, self.train.sensitive, self.train.label, protocol=self.protocol, rng=rng
        )
        arrays = (test, self.test.sensitive, self.test.label)
        inputs = (torch.from_numpy(array[None]) for array in arrays)
        term = checked_values(self.objective, self.objective_name, *inputs)
        norm = float(edit.double().norm())
        return EditScore(
            queries=queries,
            objective=float(term[0]) + self.penalty * norm,
            norm=norm,
            sa_frozen=_accuracy(self.frozen, test, self.test.sensitive),
            sa_refitted=_accuracy(refitted, test, self.test.sensitive),
            score=tuple(disease.score(test).tolist()),
            fidelity=fidelity(self.test, edit),
            sent=None
            if self.encoder.spec.exact_floats or not norm
            else arrived_edit(self.test, edit),
        )


def _accuracy(head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(100.0 * (head.predict(embeddings) == labels).mean())
