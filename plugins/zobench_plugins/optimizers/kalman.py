"""Kalman: descent with a Kalman-filtered gradient in low frequencies, over a given path length.

Useful edits are smooth, so the search uses only the lowest frequencies of a cosine transform over
the points' grid (Guo, Frank, Weinberger, "Low Frequency Adversarial Perturbation", 2019). It is for
the spaces ``pixel`` and ``lowres:<k>``, whose grids are pictures. Trials along orthogonal
directions share one minibatch and one reference at the centre. Such forward differences along q
directions cost q + 1 evaluations, while antithetic pairs cost 2q; forward differences are biased by
curvature and by the penalty. Earlier slopes are kept: the gradient is the state of a Kalman filter
(Vuckovic, "Kalman Gradient Descent", 2018), and new directions mostly lie where the filter's
variance is large. The path length is fixed, because the objective L has no lower bound: once the
attribute is hidden, L falls only by damage to the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError
from zobench.problem.spaces import DctSpace

from .frequencies import spectrum


@dataclass(frozen=True)
class KalmanParameters:
    """Hyperparameters of Kalman."""

    side: int = parameter(12, "frequencies searched, down and across", low=1, high=48)
    directions: int = parameter(
        7, "slopes measured per step; each step costs one further evaluation", low=1, high=1000
    )
    radius: float = parameter(0.01, "root mean square of a trial, in pixel range", low=1e-6)
    reach: float = parameter(0.03, "length of the whole path, as root mean square", low=0)
    smoothness: float = parameter(
        1.5, "how fast the prior variance falls with frequency", low=0, high=3
    )
    corner: float = parameter(6.0, "frequency from which the prior variance falls", low=1)
    noise: float = parameter(
        1.0, "variance of a minibatch's slope, relative to the prior variance", low=1e-3
    )
    memory: float = parameter(0.95, "correlation of the gradient between two steps", low=0, high=1)


class Kalman(Stateful):
    """One reference and a few orthogonal trials per ask. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "gradient", "covariance", "steps", "rng")

    def __init__(self, context: OptimizerContext, parameters: KalmanParameters) -> None:
        self._p = p = parameters
        self.rng = context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(p.side, height, width))
        count = self._waves.side**2
        if p.directions > count:
            raise ConfigError(
                f"optimizer.directions is {p.directions}, but must be at most {count}, the number of "
                "frequencies searched"
            )
        self._prior = torch.diag(spectrum(self._waves.side, p.smoothness, p.corner))
        self._asks = max(1, context.budget // (context.batch_size * (p.directions + 1)))
        self.edit = torch.zeros(count, dtype=torch.float64)
        self.gradient = torch.zeros(count, dtype=torch.float64)
        self.covariance = self._prior.clone()
        self.steps = 0

    def ask(self) -> Ask:
        """Asks for the centre, and for trials along directions from the filter's covariance."""
        self._directions = self._draw()
        trials = self.edit + self._length(self._p.radius) * self._directions
        points = self._decode(torch.cat([self.edit[None], trials]))
        return Ask(points, np.full(len(points), self.steps, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """One update of the filter, one step along its mean."""
        differences = answer.values[1:] - answer.values[0]
        self._update(differences.double() / self._length(self._p.radius))
        size = self.gradient.norm()
        if size > 0:
            self.edit = self.edit - self._stride() * self.gradient / size
        self.steps += 1
        self._predict()

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self._decode(self.edit[None])[0]

    def _draw(self) -> Tensor:
        """Orthonormal directions ``(q, side**2)`` from the filter's covariance."""
        shape = (len(self.edit), self._p.directions)
        white = torch.from_numpy(self.rng.standard_normal(shape))
        spread = torch.linalg.cholesky(self.covariance) @ white
        directions: Tensor = torch.linalg.qr(spread).Q.T
        return directions

    def _update(self, slopes: Tensor) -> None:
        """Updates the filter with slopes ``(q,)`` along the last directions.

        The noise of a minibatch's gradient has the prior covariance times ``noise``, so the scale
        of the objective cancels.
        """
        along = self._directions
        seen = self.covariance @ along.T
        spread = along @ seen + self._p.noise * along @ self._prior @ along.T
        gain = torch.linalg.solve(spread, seen.T).T
        self.gradient = self.gradient + gain @ (slopes - along @ self.gradient)
        left = self.covariance - gain @ seen.T
        self.covariance = (left + left.T) / 2.0

    def _predict(self) -> None:
        """Predicts the next gradient: mean and covariance decay towards the prior."""
        keep = self._p.memory
        self.gradient = keep * self.gradient
        self.covariance = keep**2 * self.covariance + (1.0 - keep**2) * self._prior

    def _stride(self) -> float:
        """Length of this step; lengths fall linearly to zero, and their sum is ``reach``."""
        left = max(0.0, 1.0 - (self.steps + 0.5) / self._asks)
        return 2.0 * left / self._asks * self._length(self._p.reach)

    def _length(self, rms: float) -> float:
        """Norm of the coefficients of an edit with the given root mean square."""
        return rms * self._waves.side

    def _decode(self, coefficients: Tensor) -> Tensor:
        """Points ``(K, *space.shape)``."""
        side = self._waves.side
        return self._waves.decode(coefficients.float().reshape(-1, 1, side, side))
