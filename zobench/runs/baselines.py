"""No-query baselines: methods that make a fair classifier from embeddings that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig
from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.head import HeadProtocol
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.method import Method, MethodResult, Requiring
from zobench.contracts.random_streams import generator
from zobench.errors import ConfigError, PluginError
from zobench.oracle.ledger import Ledger
from zobench.problem.images import Images
from zobench.registry.discovery import Offer, Registry
from zobench.registry.failure import plugin_code

from .scoring import Embedded

if TYPE_CHECKING:
    from torch import Tensor

COMBINED = "reweighing"
"""The method that is also fitted on the embeddings of the last edit."""


@dataclass(frozen=True)
class Baseline:
    """A no-query baseline of a run.

    Attributes:
        name: The method's name as typed.
        offer: The method's plugin.
        argument: The text after the colon of the name.
    """

    name: str
    offer: Offer
    argument: str


def find_baselines(config: RunConfig, registry: Registry) -> list[Baseline]:
    """The methods that a config names as baselines.

    Raises:
        ConfigError: A method is unknown, or needs queries.
    """
    methods = []
    for name in config.baseline_names:
        offer, argument = registry.find("methods", name)
        if getattr(offer.plugin.load(), "needs_queries", True):
            free = [
                method.name
                for method in registry.offers["methods"].values()
                if not getattr(method.plugin.load(), "needs_queries", True)
            ]
            raise ConfigError(
                f"baselines has {name!r}, but this method sends images to the encoder; a baseline needs "
                f"no query beyond setup: {', '.join(sorted(free))}"
            )
        methods.append(Baseline(name, offer, argument))
    return methods


def require_fitting(baselines: Sequence[Baseline], label: Rows, sensitive: Rows) -> None:
    """Lets baselines refuse the training images before a query is spent: they are solved at the end.

    Args:
        baselines: The methods; one that has a ``require`` is asked.
        label: Disease y of the training images ``(N,)``.
        sensitive: Sensitive attribute a ``(N,)``.

    Raises:
        ConfigError: A method cannot work with them.
    """
    for baseline in baselines:
        if isinstance(method := baseline.offer.plugin.load(), Requiring):
            with plugin_code():
                method.require(label.copy(), sensitive.copy())


@dataclass(frozen=True)
class EmbeddedContext:
    """A problem whose images are embedded: a :class:`zobench.contracts.method.MethodContext`.

    Attributes:
        train: Training images with copies of disease and sensitive attribute.
        test_pixels: The test images ``(n, C, H, W)`` uint8.
        test_sensitive: Sensitive attribute a of the test images ``(n,)``.
        embedded: The embeddings of all images.
        protocol: How linear heads are trained.
        seed: Seed of the run.
        spec: The encoder's spec.
        argument: The text after the colon of the method's name.
        name: The method's name, for messages.
    """

    train: Images
    test_pixels: Pixels
    test_sensitive: Rows
    embedded: Embedded
    protocol: HeadProtocol
    seed: int
    spec: EncoderSpec
    argument: str
    name: str
    progress: ReportProgress = field(default=silent)

    def rng(self) -> np.random.Generator:
        """The random generator for heads; all methods get the same stream."""
        return generator(self.seed, "heads")

    def embed(self, images: Tensor) -> NoReturn:
        """Refused: a baseline sends no image."""
        self._refuse()

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> NoReturn:
        """Refused: a baseline sends no image."""
        self._refuse()

    def optimize(self, optimizer: str) -> NoReturn:
        """Refused: a baseline sends no image."""
        self._refuse()

    def embed_train(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """The embeddings ``(N, D)`` of the training images."""
        if pixels is not None:
            self._refuse()
        return self.embedded.train.copy()

    def embed_test(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """The embeddings ``(n, D)`` of the test images."""
        if pixels is not None:
            self._refuse()
        return self.embedded.test.copy()

    def result(self, scores: NDArray[np.floating], **notes: Any) -> MethodResult:
        """Scores ``(n,)`` with an empty ledger; their shape is checked where the run takes them."""
        numbers = np.atleast_1d(np.asarray(scores, dtype=np.float64))
        return MethodResult(tuple(numbers.tolist()), Ledger().as_dict(), notes)

    def _refuse(self) -> NoReturn:
        raise PluginError(
            f"method {self.name!r} declares needs_queries = False, but sends images; declare True"
        )


def solve_baselines(
    baselines: Sequence[Baseline],
    train: Images,
    test: Images,
    embedded: Embedded,
    config: RunConfig,
    spec: EncoderSpec,
) -> Mapping[str, tuple[float, ...]]:
    """The scores ``(n,)`` of the test images by each baseline.

    Args:
        baselines: The methods.
        train: Training images.
        test: Test images.
        embedded: Their embeddings, without an edit or all with the same edit.
        config: The config of the run.
        spec: The encoder's spec.

    Raises:
        PluginError: A method sends images, or gives something else than finite scores.
    """
    solved = {}
    for baseline in baselines:
        context = EmbeddedContext(
            train=Images(
                train.pixels, train.label.copy(), train.sensitive.copy(), train.patient.copy()
            ),
            test_pixels=test.pixels,
            test_sensitive=test.sensitive.copy(),
            embedded=embedded,
            protocol=config.heads,
            seed=config.seed,
            spec=spec,
            argument=baseline.argument,
            name=baseline.name,
        )
        method: Method = baseline.offer.plugin.make(context, {}, "method")
        with plugin_code():
            result = method.solve()
            scores = np.asarray(getattr(result, "scores", ()), dtype=np.float64)
        rule = (
            f"it must give {len(test):,} finite scores, one per test image, by context.result(scores): "
            f"zobench plugin check {baseline.name}"
        )
        told = f"method {baseline.name!r}: solve() gave"
        if not isinstance(result, MethodResult):
            raise PluginError(f"{told} {type(result).__name__} and no MethodResult; {rule}")
        if scores.shape != (len(test),):
            raise PluginError(f"{told} scores of shape {scores.shape}; {rule}")
        if not np.isfinite(scores).all():
            raise PluginError(f"{told} scores that are NaN or infinite; {rule}")
        solved[baseline.name] = tuple(scores.tolist())
    return solved
