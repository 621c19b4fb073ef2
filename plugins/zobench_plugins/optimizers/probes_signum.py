"""Probes, then Signum: short signed steps against an SA head that is refitted after each of them.

A white box may differentiate any function of the embeddings: an ask names a cotangent for each image,
and the answer is the vector-Jacobian product. The search has four stages:

1. ``single``: probes of single images, each with a smooth edit of its own. The first right singular
   vector u of the changes of their embeddings is where edits move embeddings most.
2. ``product``: the mean of J_i^T u over a few images is the edit that moves them fastest along u, as in
   the power method for singular vectors of a Jacobian (Khrulkov and Oseledets, "Art of Singular Vectors
   and Universal Adversarial Perturbations", CVPR 2018). The images are those that moved most: of others
   an encoder's slope may be next to nothing, until a longer edit has brought them to where it is steep.
3. ``check``: a few images are sent with this edit and with its negative. The sign is kept that hides the
   attribute better from a refitted SA head (:mod:`.paid_checks`); if neither is better than no edit, the
   search goes on from none.
4. ``step``: an SA head is refitted on the embeddings bought last. A product on a few balanced images
   tells how an edit lowers its score where the attribute is 1 and raises it where it is 0. The step is
   the sign of a decaying sum of these slopes (Signum: Bernstein et al., "signSGD: Compressed
   Optimisation for Non-Convex Problems", ICML 2018). Head and slope are new after every step.

What is recommended is not the edit that the search stands at, at no query: steps from a short edit end
better, but a longer one hides more until then. Before the first step it is the first edit, lengthened;
after it, the current edit and a few times the last step.

The objective of the run is not used: it is lowered by shifts that a refitted head undoes. Single probes
are smooth on the points' grid, so the search is for the spaces ``pixel`` and ``lowres:<k>``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, PluginError
from zobench.problem.spaces import DctSpace

from .frequencies import directions, spectrum
from .paid_checks import Cells
from .probes import SMOOTHNESS
from .refitted_heads import residuals

CORNER = 6.0
"""Frequency from which the prior of single probes falls."""

SMALLEST = 1e-30
"""Root mean square of a product that is 0 but for rounding."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ProbesSignumParameters:
    """Hyperparameters of probes-signum; a root mean square is that of the points, in pixel range."""

    singles: int = parameter(16, "single probes, the first ask", low=2, high=4096)
    coarse: int = parameter(12, "frequencies of single probes, down and across", low=1, high=64)
    radius: float = parameter(0.02, "root mean square of a single probe", low=1e-6)
    products: int = parameter(
        4, "images of the first edit's product: the single probes that moved most", low=1, high=4096
    )
    reach: float = parameter(
        1.0, "shift of these images by the first edit, relative to the clean spread", low=1e-6
    )
    first_length: float = parameter(0.005, "root mean square of the first edit, at most", low=1e-6)
    long_reach: float = parameter(
        3.0,
        "reach of the edit recommended before the first step, or that of the first edit",
        low=1e-6,
    )
    long_length: float = parameter(
        0.02, "root mean square of the edit recommended before the first step, at most", low=1e-6
    )
    check_images: int = parameter(24, "images of the check, each sent twice", low=8, high=10_000)
    images: int = parameter(8, "balanced images of a step", low=4, high=10_000)
    step: float = parameter(
        0.002, "first step of every coordinate, in pixel range; step t has 1 / sqrt(t) of it", low=0
    )
    momentum: float = parameter(
        0.9, "what is left, in a step, of the slopes of earlier steps", low=0, high=0.9999
    )
    ahead: float = parameter(
        4.0, "how many times the last step is added to what is recommended", low=0, high=1000
    )
    memory: int = parameter(
        128, "embeddings that the SA head is refitted on, at most", low=8, high=100_000
    )

    def __post_init__(self) -> None:
        """Refuses values that contradict each other, before an image is sent."""
        for smaller, larger in (
            ("products", "singles"),
            ("reach", "long_reach"),
            ("first_length", "long_length"),
        ):
            least, value = getattr(self, smaller), getattr(self, larger)
            if value < least:
                raise ConfigError(
                    f"{larger} is {value:g}, but must be at least {smaller}, {least:g}"
                )


class ProbesSignum(Stateful):
    """Single probes, a product, a check, then one product a step. Recommends an edit further on."""

    feedback: ClassVar[Feedback] = "gradient"
    paced = False
    remembered = ("edit", "stretch", "stage", "steps", "velocity", "axis", "bought", "rows", "rng")

    def __init__(self, context: OptimizerContext, parameters: ProbesSignumParameters) -> None:
        if context.client is None:
            raise PluginError("probes-signum needs the client data of the level gradient")
        p, client = parameters, context.client
        self._p, self._clean, self.rng = p, client.clean, context.rng
        self._cells = Cells.of(client)
        self._spread = float(client.clean.var(0).double().sum().sqrt())
        _, height, width = context.space.shape
        self._coarse = DctSpace(height, width, min(p.coarse, height, width))
        self.stage, self.steps = "single", 0
        self.edit = self.velocity = torch.zeros(context.space.shape)
        self.stretch = 1.0  # what the first edit is multiplied by to be recommended
        self.axis = torch.zeros(client.clean.shape[1])
        self.bought, self.rows = client.clean[:0], torch.empty(0, dtype=torch.int64)

    def ask(self) -> Ask:
        """Single probes, the first edit's product, both of its signs, or the product of a step."""
        if self.stage == "single":
            rows = self.rng.choice(len(self._clean), (self._singles, 1), replace=False)
            return Ask(self._probes(), rows=rows, want="embeddings")
        if self.stage == "check":
            rows = self._cells.balanced(self._p.check_images, self.rng)
            both = torch.stack([self.edit, -self.edit])
            return Ask(both, rows=np.stack([rows, rows]), want="embeddings")
        if self.stage == "product":
            rows = self.rows.numpy().copy()
            cotangents = self.axis.expand(len(rows), -1)
        else:
            rows = self._cells.balanced(self._p.images, self.rng)
            target, weights = self._cells.targets(rows)
            cotangents = ((-target * weights)[:, None] * self._head()).float()
        points = self.edit[None]
        return Ask(points, rows=rows[None], want="gradient", cotangents=cotangents[None])

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Goes on to the next stage, or takes a step."""
        assert answer.embeddings is not None
        assert answer.rows is not None
        if self.stage == "single":
            self._choose_product(answer.embeddings[:, 0], answer.rows[:, 0])
        elif self.stage == "product":
            assert answer.gradients is not None
            self._set_first_edit(answer.gradients[0])
        elif self.stage == "check":
            self.stage = "step"
            self._judge(answer.embeddings, answer.rows[0])
        else:
            assert answer.gradients is not None
            self._step(answer.gradients[0])
            self._remember(answer.embeddings[0], answer.rows[0])

    def recommend(self) -> Tensor:
        """The first edit, lengthened, of either sign until the check; then one ahead of the current."""
        if not self.steps:
            return self.stretch * self.edit
        return self.edit + self._p.ahead * self._step_size * self.velocity.sign()

    @property
    def _singles(self) -> int:
        return min(self._p.singles, len(self._clean))

    def _probes(self) -> Tensor:
        """Smooth points of equal length, one for each single probe."""
        side = self._coarse.side
        prior = spectrum(side, SMOOTHNESS, CORNER)
        drawn = directions(prior, self._singles, self._p.radius, self.rng)
        return self._coarse.decode(drawn.float().reshape(-1, 1, side, side))

    def _choose_product(self, embeddings: Tensor, rows: Rows) -> None:
        """The axis u of the first edit's product, and its images."""
        changes = (embeddings - self._clean[rows]).double()
        axis = torch.linalg.svd(changes, full_matrices=False)[2][0]
        axis = axis * axis[axis.abs().argmax()].sign()  # else the library's choice
        moved = (changes @ axis).abs().argsort(descending=True, stable=True)
        self.rows = torch.from_numpy(rows)[moved[: self._p.products]].clone()
        self.axis, self.stage = axis.float(), "product"

    def _set_first_edit(self, product: Tensor) -> None:
        """The product J^T u, at a length that shifts the embeddings by ``reach``; none where it is 0."""
        p, length = self._p, float(product.double().square().mean().sqrt())
        if length < SMALLEST:
            self._begin_from_none()
            return
        speed = length * product.numel()  # of the shift, for an edit of root mean square 1
        first = min(p.reach * self._spread / speed, p.first_length)
        self.edit, self.stage = product * (first / length), "check"
        self.stretch = min(p.long_reach * self._spread / speed, p.long_length) / first

    def _judge(self, embeddings: Tensor, rows: Rows) -> None:
        """Turns the edit round if its negative hides more, or gives it up.

        Where a cell of disease and attribute has no training image, the edit is kept as it is.
        """
        sign = self._cells.hiding_sign(self._clean[rows], embeddings, rows)
        if sign == 0:
            self._begin_from_none()
            return
        turned = sign == -1
        self.edit = -self.edit if turned else self.edit
        self.bought, self.rows = embeddings[int(turned)].clone(), torch.from_numpy(rows)

    def _head(self) -> Tensor:
        """An SA head ``(D,)`` refitted on the embeddings bought last."""
        return residuals(self.bought.double(), *self._cells.targets(self.rows.numpy()))[0]

    @property
    def _step_size(self) -> float:
        """Length of the last step in every coordinate; there must have been one."""
        return self._p.step / math.sqrt(self.steps)

    def _step(self, gradient: Tensor) -> None:
        self.steps += 1
        self.velocity = self._p.momentum * self.velocity + gradient
        self.edit = self.edit + self._step_size * self.velocity.sign()

    def _begin_from_none(self) -> None:
        """Steps begin at no edit, with a head fitted on clean embeddings, which are paid for."""
        rows = self._cells.balanced(self._p.memory, self.rng)
        self.edit, self.stage = torch.zeros_like(self.edit), "step"
        self.bought, self.rows = self._clean[rows].clone(), torch.from_numpy(rows)

    def _remember(self, embeddings: Tensor, rows: Rows) -> None:
        most = self._p.memory
        self.bought = torch.cat([self.bought, embeddings])[-most:].clone()
        self.rows = torch.cat([self.rows, torch.from_numpy(rows)])[-most:].clone()
