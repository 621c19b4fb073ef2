"""What an edit does downstream: heads refitted on edited images predict edited test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Progress, silent
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, HeadProtocol, fit_head, fit_sensitive_head
from zobench.problem.images import Images
from zobench.contracts.random_streams import generator
from zobench.problem.quantization import Sent, what_arrives

if TYPE_CHECKING:
    from torch import Tensor


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


def raw_from_json(row: Mapping[str, Any]) -> Raw:
    """A :class:`Raw` as the store wrote it."""
    sent = row.get("sent")
    return Raw(**{**row, "score": tuple(row["score"]), "sent": Sent(**sent) if sent else None})
