"""Clean embeddings, the SA head and the score of ERM: equal for runs of one problem.

The first of the runs computes a result and puts it into the cache; the others take it over. The ledger
books the images that the run costs on its own, whichever run embedded them.
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
from zobench.measures.edit_score import EditScore
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, fit_sensitive_head
from zobench.problem.images import Images

from .result_cache import ResultCache, arithmetic, code_digest, digest
from .scoring import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass
class SharedResults:
    """Computes results, or takes them over from other runs.

    Attributes:
        cache: Results by digest.
        reused: Names of the results that were taken over.
    """

    cache: ResultCache
    reused: list[str] = field(default_factory=list)

    def clean_embeddings(
        self,
        encoder: MeteredEncoder,
        train: Images,
        begin: Callable[[], None],
        progress: ReportProgress,
    ) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the clean training images.

        The digest of an encoder is its own word, so the first block is embedded again, in the same
        batch, and compared bit by bit, before another run's embeddings are taken over.

        Args:
            encoder: The encoder.
            train: The images.
            begin: Called before all images are embedded, if they have to be.
            progress: Told of images done.
        """
        import torch

        spec, ledger = encoder.spec, encoder.ledger
        key = digest(
            *("clean", code_digest(), arithmetic(), spec.digest, spec.settings, spec.block),
            train.pixels,
        )
        found = self.cache.read(key)
        if found is not None:
            clean = np.asarray(found[0]["clean"].numpy())
            first, apart = train.part(slice(0, spec.block)), encoder.apart()
            same = np.array_equal(embed_images(apart, first, Purpose.SETUP), clean[: len(first)])
            encoder.seconds += apart.seconds
            if same:
                ledger.put(Purpose.SETUP, found[1])
                self.reused.append("clean embeddings")
                return clean
        begin()
        clean = embed_images(encoder, train, Purpose.SETUP, progress=progress)
        self.cache.write(key, {"clean": torch.from_numpy(clean)}, asdict(ledger.setup))
        return clean

    def sensitive_head(
        self, train: Images, clean: NDArray[np.float32], protocol: HeadProtocol, seed: int
    ) -> Head:
        """The SA head g, fitted on clean embeddings ``(N, D)``."""
        import torch

        key = digest("head", code_digest(), clean, train.sensitive, train.label, protocol, seed)
        found = self.cache.read(key)
        if found is not None:
            self.reused.append("SA head")
            return Head(found[0]["weight"].numpy(), found[0]["bias"].numpy())
        rng = generator(seed, "heads")
        head = fit_sensitive_head(clean, train.sensitive, train.label, protocol=protocol, rng=rng)
        tensors = {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
        self.cache.write(key, tensors)
        return head

    def erm_score(
        self,
        encoder: MeteredEncoder,
        scorer: Scorer,
        edit: Tensor,
        clean: NDArray[np.float32],
        progress: ReportProgress,
    ) -> EditScore:
        """The score of no edit, which is the same for every optimizer."""
        train, test, head = scorer.train, scorer.test, scorer.frozen
        key = digest(
            *("ERM", code_digest(), clean, train.label, train.sensitive, head.weight, head.bias),
            *(arithmetic(), encoder.spec.settings, test.pixels, test.label, test.sensitive),
            *(scorer.protocol, scorer.seed),
        )
        found = self.cache.read(key)
        if found is not None:
            encoder.ledger.put(Purpose.SCORE, found[1]["counts"])
            self.reused.append("ERM score")
            return EditScore.from_json(found[1]["score"])
        score = scorer.score(edit, 0, clean, progress)
        notes = {"score": asdict(score), "counts": asdict(encoder.ledger.score)}
        self.cache.write(key, {}, notes)
        return score
