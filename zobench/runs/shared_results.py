"""Computes or reuses the results that runs on one problem share.

These are the clean embeddings of training and test images, and the SA head. The first run computes
a result and stores it in the cache; the other runs read it. The ledger of every run counts the
images that this run would have embedded alone, also where it reads results from the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.head import HeadProtocol
from zobench.contracts.listener import ReportProgress
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, fit_sensitive_head
from zobench.problem.images import Images

from .result_cache import ResultCache, code_digest, digest, processor

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLEAN_SETS = 2
"""Sets of clean images, training and test, whose embeddings are shared."""


@dataclass
class SharedResults:
    """Computes the shared results, or reads them from the cache.

    Attributes:
        cache: The cache of results.
        shareable: Called before embeddings are stored for other runs: whether they may be; raises if the
            encoder has changed while it made them.
        reused: Names of the results that this run read from the cache.
    """

    cache: ResultCache
    shareable: Callable[[], bool] = lambda: True
    reused: list[str] = field(default_factory=list)

    def clean_embeddings(
        self,
        encoder: MeteredEncoder,
        train: Images,
        begin: Callable[[], None],
        progress: ReportProgress,
    ) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the clean training images.

        An encoder declares its own digest, which may be wrong. So the first block of images is
        embedded again and compared bit by bit before embeddings from the cache are used.

        Args:
            encoder: The encoder.
            train: The training images.
            begin: Called before the images are embedded; not called if the cache is used.
            progress: Called with the number of images embedded so far and the total.
        """
        import torch

        spec, ledger = encoder.spec, encoder.ledger
        key = digest(
            *("clean", code_digest(), processor(), spec.digest, spec.settings, spec.block),
            train.pixels,
        )
        stored = self.cache.read(key)
        if stored is not None:
            clean = np.asarray(stored[0]["clean"].numpy())
            first, apart = train.part(slice(0, spec.block)), encoder.apart()
            same = np.array_equal(embed_images(apart, first, Purpose.SETUP), clean[: len(first)])
            encoder.seconds += apart.seconds
            if same:
                ledger.put(Purpose.SETUP, stored[1])
                self.reused.append("clean embeddings")
                return clean
        begin()
        clean = embed_images(encoder, train, Purpose.SETUP, progress=progress)
        if self.shareable():
            self.cache.write(key, {"clean": torch.from_numpy(clean)}, asdict(ledger.setup))
        return clean

    def sensitive_head(
        self, train: Images, clean: NDArray[np.float32], protocol: HeadProtocol, seed: int
    ) -> Head:
        """The SA head g, fitted on clean embeddings ``(N, D)``."""
        import torch

        key = digest("head", code_digest(), clean, train.sensitive, train.label, protocol, seed)
        stored = self.cache.read(key)
        if stored is not None:
            self.reused.append("SA head")
            return Head(stored[0]["weight"].numpy(), stored[0]["bias"].numpy())
        rng = generator(seed, "heads")
        head = fit_sensitive_head(clean, train.sensitive, train.label, protocol=protocol, rng=rng)
        tensors = {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
        self.cache.write(key, tensors)
        return head

    def clean_test_embeddings(
        self,
        encoder: MeteredEncoder,
        test: Images,
        clean: NDArray[np.float32],
        progress: ReportProgress,
    ) -> NDArray[np.float32]:
        """Embeddings ``(n, D)`` of the clean test images, booked as ``score``.

        The cached ones are those of an encoder that gave equal embeddings of the training images, and
        was still the same when they were stored.
        """
        import torch

        key = digest(
            *("clean test", code_digest(), clean, processor(), encoder.spec.settings),
            encoder.spec.block,
            test.pixels,
        )
        stored = self.cache.read(key)
        if stored is not None:
            encoder.ledger.put(Purpose.SCORE, stored[1])
            self.reused.append("clean test embeddings")
            return np.asarray(stored[0]["clean"].numpy())
        embeddings = embed_images(encoder, test, Purpose.SCORE, progress=progress)
        if self.shareable():
            notes = asdict(encoder.ledger.score)
            self.cache.write(key, {"clean": torch.from_numpy(embeddings)}, notes)
        return embeddings
