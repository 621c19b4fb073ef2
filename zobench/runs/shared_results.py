"""What runs of one problem have in common: computed by the first of them, taken over by the others.

The ledger books what the run costs on its own, whoever paid for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.dataset import Progress
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, HeadProtocol, fit_sensitive_head
from zobench.problem.images import Images
from zobench.oracle.ledger import Counts
from .scoring import Raw, Scorer, raw_from_json
from .result_cache import SharedResults, code_digest, digest
from zobench.contracts.random_streams import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Groundwork:
    """Clean embeddings, the SA head and the score of ERM.

    Attributes:
        reused: What was taken over from other runs.
    """

    def __init__(self, encoder: MeteredEncoder, shared: SharedResults) -> None:
        self._encoder, self._shared = encoder, shared
        self.reused: list[str] = []

    def clean(
        self, train: Images, begin: Callable[[], None], progress: Progress
    ) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the clean training images; another run's if the encoder is the same.

        A digest is the encoder's own word, so the first block is embedded and compared, bit by bit.

        Args:
            train: The images.
            begin: Called before all images are embedded, if they have to be.
            progress: Told how many are.
        """
        import torch

        encoder = self._encoder
        spec, ledger = encoder.spec, encoder.ledger
        key = digest("clean", code_digest(), spec.digest, spec.settings, spec.block, train.pixels)
        known = self._shared.read(key)
        first = train.part(slice(0, spec.block))
        if known is not None:
            clean = np.asarray(known[0]["clean"].numpy())
            aside = encoder.apart()
            same = np.array_equal(embed_images(aside, first, "setup"), clean[: len(first)])
            encoder.seconds += aside.seconds
            if same:
                ledger.setup = Counts(**known[1])
                self.reused.append("clean embeddings")
                return clean
        begin()
        clean = embed_images(encoder, train, "setup", progress=progress)
        self._shared.write(key, {"clean": torch.from_numpy(clean)}, asdict(ledger.setup))
        return clean

    def sensitive_head(
        self, train: Images, clean: NDArray[np.float32], protocol: HeadProtocol, seed: int
    ) -> Head:
        """The SA head g, fitted on clean embeddings."""
        import torch

        key = digest("head", code_digest(), clean, train.sensitive, train.label, protocol, seed)
        known = self._shared.read(key)
        if known is not None:
            self.reused.append("SA head")
            return Head(known[0]["weight"].numpy(), known[0]["bias"].numpy())
        rng = generator(seed, "heads")
        head = fit_sensitive_head(clean, train.sensitive, train.label, protocol=protocol, rng=rng)
        tensors = {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
        self._shared.write(key, tensors)
        return head

    def erm(
        self, scorer: Scorer, edit: Tensor, clean: NDArray[np.float32], progress: Progress
    ) -> Raw:
        """The score of no edit, which is the same for every optimizer."""
        train, test, head = scorer.train, scorer.test, scorer.frozen
        key = digest(
            *("ERM", code_digest(), clean, train.label, train.sensitive, head.weight, head.bias),
            *(self._encoder.spec.settings, test.pixels, test.label, test.sensitive),
            *(scorer.protocol, scorer.seed),
        )
        ledger = self._encoder.ledger
        known = self._shared.read(key)
        if known is not None:
            ledger.score = Counts(**known[1]["counts"])
            self.reused.append("ERM score")
            return raw_from_json(known[1]["raw"])
        raw = scorer.score(edit, 0, clean, progress)
        self._shared.write(key, {}, {"raw": asdict(raw), "counts": asdict(ledger.score)})
        return raw
