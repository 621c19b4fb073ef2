"""Scores an edit: refits the heads on edited training images, predicts edited test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.head import HeadProtocol
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.measures.edit_score import EditScore
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, fit_head, fit_sensitive_head
from zobench.problem.images import Images
from zobench.problem.quantization import arrived_edit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scorer:
    """Scores the edits of one run, all with the same images and the same random stream for heads.

    Attributes:
        train: Training images; both heads are fitted on them.
        test: Test images; the heads predict them.
        encoder: The metered encoder.
        frozen: The SA head g of the objective.
        penalty: lambda, the weight of the edit's norm in the objective.
        protocol: Training protocol of the heads.
        seed: Seed of the run.
    """

    train: Images
    test: Images
    encoder: MeteredEncoder
    frozen: Head
    penalty: float
    protocol: HeadProtocol
    seed: int

    def score(
        self,
        edit: Tensor,
        queries: int,
        clean_train: NDArray[np.float32] | None = None,
        progress: ReportProgress = silent,
    ) -> EditScore:
        """Embeds the edited images, refits both heads and predicts the test images.

        Args:
            edit: The edit ``(1, H, W)``.
            queries: Queries spent when the optimizer recommended the edit; 0 for ERM.
            clean_train: For ERM, embeddings ``(N, D)`` of the clean training images; ``None`` to
                embed the edited training images.
            progress: Called with the number of images embedded so far and the total.
        """
        import torch

        total = len(self.test) + (0 if clean_train is not None else len(self.train))
        test = embed_images(
            self.encoder, self.test, Purpose.SCORE, edit, lambda done, _: progress(done, total)
        )
        train = clean_train
        if train is None:
            train = embed_images(
                self.encoder,
                self.train,
                Purpose.SCORE,
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
        return EditScore(
            queries=queries,
            objective=-float(entropy.mean()) + self.penalty * norm,
            norm=norm,
            sa_frozen=_accuracy(self.frozen, test, self.test.sensitive),
            sa_refitted=_accuracy(refitted, test, self.test.sensitive),
            score=tuple(disease.score(test).tolist()),
            sent=None
            if self.encoder.spec.exact_floats or not norm
            else arrived_edit(self.test, edit),
        )


def _accuracy(head: Head, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(100.0 * (head.predict(embeddings) == labels).mean())
