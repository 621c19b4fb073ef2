"""The contract of an optimizer, which makes asks and is told the oracle's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .client import Client
    from .space import Space

Feedback = Literal["value", "embeddings", "gradient"]
FEEDBACK: tuple[Feedback, ...] = ("value", "embeddings", "gradient")
"""The levels of feedback; each level contains more information than the previous level.

``value``: one number per point. ``embeddings``: also the embeddings of every image sent, and the
client data (:class:`zobench.contracts.Client`). ``gradient``: also gradients of the encoder.
"""

State = Mapping[str, "Tensor | int | float | str"]

LocalEncoder = Callable[["Tensor"], "Tensor"]
"""Embeddings ``(n, D)`` float32 of images ``(n, C, H, W)`` as the run's encoder takes them.

Gradients flow back to images that require them. D is that of the local encoder.
"""


@dataclass(frozen=True)
class Ask:
    """A batch of K points to evaluate, each on b training images; it costs K * b queries.

    The images are named by ``minibatch`` or by ``rows``, never by both.

    Attributes:
        points: The points ``(K, *space.shape)`` float32.
        minibatch: Numbers ``(K,)``, at least 0. Equal numbers mean the same images, in this ask
            and in any other with the same ``images`` (common random numbers). A new number draws a
            new minibatch.
        want: The feedback asked for, at most the level that the optimizer declares.
        images: b, the number of images of each minibatch; the run's batch size if ``None``.
        rows: Rows of the training images for each point, ``(K, b)`` int64; only for optimizers
            that declare ``embeddings`` or ``gradient``.
        cotangents: A vector for each embedding, ``(K, b, D)`` float32, where ``want`` is ``gradient``:
            the gradients are then those of the mean over a point's images of the product of cotangent
            and embedding, in place of L's. So a white box follows any function of the embeddings
            (vector-Jacobian products); ``None`` for L.
    """

    points: Tensor
    minibatch: NDArray[np.int64] | None = None
    want: Feedback = "value"
    images: int | None = None
    rows: NDArray[np.int64] | None = None
    cotangents: Tensor | None = None

    def images_each(self, batch_size: int) -> int:
        """b, the number of images that each point is evaluated on, in a run of this batch size."""
        if self.rows is not None:
            return int(self.rows.shape[1])
        return batch_size if self.images is None else self.images

    def price(self, batch_size: int, backward_cost: int) -> int:
        """Queries that the ask costs."""
        images = len(self.points) * self.images_each(batch_size)
        return images * (1 + backward_cost) if self.want == "gradient" else images


@dataclass(frozen=True)
class Answer:
    """The oracle's answer to an ask.

    Attributes:
        values: ``(K,)`` float64, L of each point on its images.
        embeddings: ``(K, b, D)`` float32; ``None`` for optimizers that declare ``value``.
        gradients: ``(K, *space.shape)`` float32 where asked for, else ``None``: dL/dpoint, or that of
            the products with the ask's cotangents.
        rows: Rows ``(K, b)`` int64 of the training images; ``None`` for optimizers that declare
            ``value``.
    """

    values: Tensor
    embeddings: Tensor | None = None
    gradients: Tensor | None = None
    rows: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class OptimizerContext:
    """The inputs of an optimizer; they give no access to encoder, dataset or test images.

    Attributes:
        space: The search space of the points.
        rng: The optimizer's own stream of random numbers.
        budget: Queries that may be spent, in images.
        batch_size: Images per minibatch; one evaluation costs ``batch_size`` queries unless the
            ask names another number of images.
        argument: The text after the colon of the name as typed, or ``""``.
        client: The client data; ``None`` for optimizers that declare ``value``.
        backward_cost: Queries that one image's backward pass counts for.
        inner: Makes the optimizer that the argument names, from the context that it is to have; only
            for a wrapper, whose plugin is registered with ``wraps``, else ``None``.
        local: The encoder that the argument names, on the client's own machine; only where the plugin
            is registered with ``borrows`` and there is client data, else ``None``. Its images cost no
            query; the ledger counts them as ``local``.
    """

    space: Space
    rng: np.random.Generator
    budget: int
    batch_size: int
    argument: str = ""
    client: Client | None = None
    backward_cost: int = 2
    inner: Callable[[OptimizerContext], AskTell] | None = None
    local: LocalEncoder | None = None


class AskTell(Protocol):
    """The ask-and-tell interface of an optimizer."""

    def ask(self) -> Ask:
        """The next batch; if it would pass the budget, the oracle refuses it and the run ends."""
        ...

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Takes in the answer to the last ask."""
        ...

    def recommend(self) -> Tensor:
        """The point ``space.shape`` to deploy if the run ended now.

        Values are noisy, so the point with the best value seen so far is a biased choice.
        """
        ...

    def state_dict(self) -> State:
        """The state that decides all later asks, including the state of random generators."""
        ...

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        ...


class Optimizer(AskTell, Protocol):
    """A black-box (or white-box) optimizer of L over a space.

    It is made as ``TheClass(context, parameters)`` where ``parameters`` is an instance of the frozen
    dataclass that the argument is annotated with (see :mod:`zobench.contracts.parameters`).

    Attributes:
        feedback: The most that the optimizer ever asks for; an attribute of the class, because it
            decides what the context contains. A wrapper declares what it asks for itself; its level
            is the higher one of that and of the optimizer inside.

    A class may also have ``paced``, a bool: whether the budget decides how far its steps go or how
    many it takes. ``paced = False`` declares that asks are the same with any larger budget, except
    that the last one before the budget's end may be smaller; a finished run can then be extended with
    ``zobench resume RUN --budget MORE``. If a small budget does decide the asks, ``paced`` is a static
    method that tells so from the parameters and the budget of the run. An optimizer that does not say
    is taken to be paced.

    It may have ``prepare()``, too: see :class:`Preparing`.
    """

    feedback: ClassVar[Feedback]


@runtime_checkable
class Preparing(Protocol):
    """An optimizer that can begin its next ask before it is told the answer to the last one."""

    def prepare(self) -> None:
        """Does work on the next ask that needs no answer, such as drawing its random numbers.

        It may be called once between an ask and its tell, while a GPU computes the answer. It must
        change neither the points that were asked nor later asks nor what ``state_dict`` gives.
        """
        ...
