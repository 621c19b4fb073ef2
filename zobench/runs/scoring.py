"""Scores an edit: heads that are refitted on edited images predict edited test images."""

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
    protocol: HeadProtocol
    seed: int

    def score(
        self,
        edit: Tensor,
        queries: int,
        clean_train: NDArray[np.float32] | None = None,
        progress: ReportProgress = silent,
    ) -> EditScore:
        """Embeds edited images, refits the heads and predicts.

        Args:
            edit: ``(1, H, W)``.
            queries: Queries that the optimizer had spent.
            clean_train: Embeddings ``(N, D)`` of the unedited training images, for ERM; else ``None``.
            progress: Called with images done and images in all.
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
