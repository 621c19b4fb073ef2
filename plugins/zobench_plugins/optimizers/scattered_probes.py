"""Scattered probes: a linear surrogate of the encoder, fitted on one image per direction.

The client of an embedding API knows the clean embedding of every training image. One image sent
with its own small smooth edit therefore measures one directional derivative of its embedding. A
Bayesian linear regression over such probes, whose prior variance falls with frequency, estimates
the mean Jacobian J ``(P, D)`` of the embeddings with respect to the P lowest frequencies of a cosine
transform (Bishop, "Pattern Recognition and Machine Learning", 2006, section 3.3; model-based
search as in Cartis and Roberts, "A derivative-free Gauss-Newton method", 2019). The objective of
``clean embeddings + coefficients @ J`` is then lowered at no query, within a ball around no edit.

Only the sums of the regression are kept, so the state does not grow with the probes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import PluginError
from zobench.problem.spaces import DctSpace

from .frequencies import spectrum

SAMPLE = 256
"""The surrogate is lowered on every k-th of N training images, where k is N // SAMPLE or 1."""


@dataclass(frozen=True)
class ScatteredProbesParameters:
    """Hyperparameters of scattered probes."""

    side: int = parameter(12, "frequencies searched, down and across", low=1, high=48)
    probes: int = parameter(64, "images of an ask, each with its own edit", low=1, high=100_000)
    radius: float = parameter(0.02, "root mean square of a probe, in pixel range", low=1e-6)
    reach: float = parameter(0.02, "root mean square of the edit, at most", low=1e-6)
    noise: float = parameter(
        1.0, "variance of a probe's residual, relative to the effect of an edit", low=1e-6
    )
    smoothness: float = parameter(
        1.5, "how fast the prior variance falls with frequency", low=0, high=3
    )
    corner: float = parameter(6.0, "frequency from which the prior variance falls", low=1)
    steps: int = parameter(100, "steps on the surrogate for an edit", low=1, high=100_000)
    rate: float = parameter(0.05, "length of such a step, relative to reach", low=1e-6, high=1.0)


class ScatteredProbes(Stateful):
    """Probes around no edit; recommends the minimum of the surrogate within the ball."""

    feedback: ClassVar[Feedback] = "embeddings"
    remembered = ("moments", "responses", "rng")

    def __init__(self, context: OptimizerContext, parameters: ScatteredProbesParameters) -> None:
        if context.client is None:
            raise PluginError("scattered-probes needs the client data of the level embeddings")
        self._p, self._client = parameters, context.client
        self.rng = context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(parameters.side, height, width))
        count, dimension = self._waves.side**2, self._client.clean.shape[1]
        self._prior = spectrum(self._waves.side, parameters.smoothness, parameters.corner)
        self._budget_probes = min(parameters.probes, len(self._client), context.budget)
        self.moments = torch.zeros(count, count, dtype=torch.float64)
        self.responses = torch.zeros(count, dimension, dtype=torch.float64)

    @staticmethod
    def paced(parameters: ScatteredProbesParameters, budget: int) -> bool:
        """Whether the budget decides the probes of an ask: only one below a single ask does."""
        return budget < parameters.probes

    def ask(self) -> Ask:
        """One image per direction; directions come from the prior, orthogonal within blocks."""
        count = self._budget_probes
        self._probes = self._length(self._p.radius) * self._directions(count)
        rows = self.rng.choice(len(self._client), (count, 1), replace=False)
        return Ask(self._decode(self._probes), rows=rows, want="embeddings")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Adds the probes to the regression."""
        assert answer.embeddings is not None
        assert answer.rows is not None
        change = answer.embeddings[:, 0].double() - self._client.clean[answer.rows[:, 0]].double()
        self.moments = self.moments + self._probes.T @ self._probes
        self.responses = self.responses + self._probes.T @ change

    def recommend(self) -> Tensor:
        """The lowest point of the surrogate within the ball, computed here: no ask depends on it."""
        return self._decode(self._lowest(self._jacobian())[None])[0]

    def _jacobian(self) -> Tensor:
        """The posterior mean of J, ``(P, D)``."""
        scale = self._p.noise * self._length(self._p.radius) ** 2
        precision = self.moments + torch.diag(scale / self._prior)
        jacobian: Tensor = torch.linalg.solve(precision, self.responses)
        return jacobian

    def _lowest(self, jacobian: Tensor) -> Tensor:
        """Normalised gradient steps on the surrogate, of falling length, within the ball."""
        client: Client = self._client
        chosen = np.arange(len(client))[:: max(1, len(client) // SAMPLE)]
        clean, rows = client.clean[torch.from_numpy(chosen)].double(), chosen[None]
        reach = self._length(self._p.reach)
        edit = torch.zeros(len(jacobian), dtype=torch.float64)
        for step in range(self._p.steps):
            variable = edit.clone().requires_grad_()
            value = client.values((clean + variable @ jacobian)[None].float(), rows)[0]
            (slope,) = torch.autograd.grad(value, variable)
            size = slope.norm()
            if size == 0:
                break
            stride = self._p.rate * reach * (1.0 - step / self._p.steps)
            edit = edit - stride * slope / size
            edit = edit * min(1.0, reach / max(float(edit.norm()), 1e-300))
        return edit

    def _directions(self, count: int) -> Tensor:
        """Directions ``(count, P)`` of length 1, in blocks that are orthogonal before weighting."""
        size = len(self._prior)
        blocks = []
        for _ in range(-(-count // size)):
            white = torch.from_numpy(self.rng.standard_normal((size, size)))
            blocks.append(torch.linalg.qr(white).Q)
        weighted = torch.cat(blocks)[:count] * self._prior.sqrt()
        return torch.nn.functional.normalize(weighted)

    def _length(self, rms: float) -> float:
        """Norm of the coefficients of an edit with the given root mean square."""
        return rms * self._waves.side

    def _decode(self, coefficients: Tensor) -> Tensor:
        """Points ``(K, *space.shape)``."""
        side = self._waves.side
        return self._waves.decode(coefficients.float().reshape(-1, 1, side, side))
