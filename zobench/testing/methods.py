"""The tests that every method must pass, for built-in methods and plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.head import PROTOCOLS, HeadProtocol
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.method import Method, MethodResult, needs_gradients
from zobench.errors import ConfigError, PluginError
from zobench.oracle.ledger import Ledger
from zobench.problem.images import Images
from zobench.registry.discovery import Registry

from .installed import installed

SIDE, TRAIN, TEST, DIMENSION = 8, 160, 80, 12


class MethodConformance:
    """Tests of the method contract; subclass it, set ``name``, and pytest collects the tests.

    A method that runs an optimizer (argument ``optimizer``) is tested by the optimizer's suite.

    Attributes:
        name: The name of the method, as in ``zobench paper --methods``.
        overrides: Parameters other than the defaults.
    """

    name: ClassVar[str]
    overrides: ClassVar[Mapping[str, object]] = {}

    def registry(self) -> Registry:
        """The registry that holds the method; by default all installed plugins."""
        return installed()

    def solve(self, problem: ToyProblem) -> MethodResult:
        """The method's answer to a problem of random 8x8 images."""
        offer, argument = self.registry().find("methods", self.name)
        problem.argument = argument
        method: Method = offer.plugin.make(problem, self.overrides, "method")
        problem.sends = bool(method.needs_queries)
        return method.solve()

    def test_gives_one_finite_score_a_test_image(self) -> None:
        """Scores are finite, one per test image, and predict the disease better than chance."""
        problem = ToyProblem()
        scores = np.asarray(self.solve(problem).scores)
        assert scores.shape == (TEST,), f"{scores.shape} scores for {TEST} test images"
        assert np.isfinite(scores).all(), "scores hold NaN or infinity"
        right = float(((scores > 0) == problem.answers).mean())
        assert right > 0.6, f"a positive score predicts the disease: {100 * right:.0f} % are right"

    def test_the_same_problem_gives_the_same_scores(self) -> None:
        """Random numbers come from ``context.rng()`` only."""
        one, two = self.solve(ToyProblem()), self.solve(ToyProblem())
        assert one.scores == two.scores, "two solutions differ: draw from context.rng() only"

    def test_sends_images_only_if_it_says_so(self) -> None:
        """``needs_queries`` is declared, and without it no further image is sent."""
        problem = ToyProblem()
        self.solve(problem)
        assert problem.sends or not problem.booked, (
            f"needs_queries is False, but the method sends images: {problem.booked}"
        )

    def test_uses_gradients_only_if_it_says_so(self) -> None:
        """``needs_gradients`` is declared where a gradient is asked for."""
        problem = ToyProblem()
        self.solve(problem)
        target = self.registry().find("methods", self.name)[0].plugin.load()
        assert needs_gradients(target) or "gradient" not in problem.booked, (
            "the method asks for gradients: declare needs_gradients = True, so that it is refused "
            "before anything is sent where the encoder gives none"
        )

    def test_leaves_the_problem_as_it_was(self) -> None:
        """Labels and pixels of the problem are not changed, those of the test images included."""
        problem, fresh = ToyProblem(), ToyProblem()
        self.solve(problem)
        for column in ("pixels", "label", "sensitive", "patient"):
            same = np.array_equal(getattr(problem.train, column), getattr(fresh.train, column))
            assert same, f"the method changed the training images' {column}"
        for column in ("test_pixels", "test_sensitive"):
            same = np.array_equal(getattr(problem, column), getattr(fresh, column))
            assert same, f"the method changed {column}"

    def test_solves_a_problem_of_each_head_protocol(self) -> None:
        """Scores are finite under every protocol, unless the method refuses it with ``ConfigError``."""
        for protocol in PROTOCOLS:
            try:
                scores = np.asarray(self.solve(ToyProblem(protocol=protocol)).scores)
            except ConfigError:
                continue
            assert scores.shape == (TEST,), f"{scores.shape} scores with the heads {protocol}"
            assert np.isfinite(scores).all(), (
                f"scores hold NaN or infinity with the heads {protocol}"
            )


@dataclass
class ToyProblem:
    """A problem that takes milliseconds: a :class:`zobench.contracts.method.MethodContext`.

    The images' upper half depends on the group and the lower half on the disease; the encoder is a
    fixed linear map.

    Attributes:
        argument: The text after the colon of the method's name.
        sends: Whether the method may send further images.
        booked: Further images sent, by purpose.
    """

    argument: str = ""
    sends: bool = True
    booked: dict[str, int] = field(default_factory=dict)
    protocol: HeadProtocol = "converged"
    progress: ReportProgress = silent

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.train, test = _images(rng, TRAIN), _images(rng, TEST)
        self.test_pixels: Pixels = test.pixels
        self.test_sensitive: Rows = test.sensitive
        self.answers = test.label == 1
        self.spec = EncoderSpec("toy", (1, SIDE, SIDE), DIMENSION, True, True, "toy", 64)
        self._map = torch.from_numpy(rng.normal(size=(SIDE * SIDE, DIMENSION)).astype(np.float32))

    def rng(self) -> np.random.Generator:
        """The random generator for heads."""
        return np.random.default_rng(1)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, D)`` of images, booked as a query each."""
        self._book("embed", len(images))
        return self._embedded(images)

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient of a loss of the images' embeddings."""
        self._book("gradient", len(images))
        sent = images.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(self._embedded(sent)), sent)
        return slope

    def embed_train(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the training images, or of other pixels in their place."""
        return self._all(self.train.pixels, pixels)

    def embed_test(self, pixels: Pixels | None = None) -> NDArray[np.float32]:
        """Embeddings ``(n, D)`` of the test images, or of other pixels in their place."""
        return self._all(self.test_pixels, pixels)

    def optimize(self, optimizer: str) -> MethodResult:
        """Refused: an optimizer has its own suite."""
        raise PluginError("the toy problem runs no optimizer; check the optimizer instead")

    def result(self, scores: NDArray[np.floating], **notes: Any) -> MethodResult:
        """Scores ``(n,)`` with an empty ledger."""
        return MethodResult(tuple(map(float, scores)), Ledger().as_dict(), notes)

    def _all(self, own: Pixels, pixels: Pixels | None) -> NDArray[np.float32]:
        if pixels is not None:
            self._book("embed", len(pixels))
        chosen = own if pixels is None else pixels
        embeddings: NDArray[np.float32] = self._embedded(
            torch.from_numpy(chosen).float() / 255
        ).numpy()
        return embeddings

    def _embedded(self, images: Tensor) -> Tensor:
        return (images.reshape(len(images), -1) - 0.5) @ self._map

    def _book(self, what: str, count: int) -> None:
        self.booked[what] = self.booked.get(what, 0) + count


def _images(rng: np.random.Generator, count: int) -> Images:
    """Images of patients with one image each."""
    label, sensitive = np.arange(count) % 2, (np.arange(count) // 2) % 2
    pixels = rng.integers(60, 190, (count, 1, SIDE, SIDE))
    pixels[:, :, : SIDE // 2] += (25 * sensitive)[:, None, None, None]
    pixels[:, :, SIDE // 2 :] += (30 * label)[:, None, None, None]
    return Images(pixels.astype(np.uint8), label, sensitive, np.arange(count))
