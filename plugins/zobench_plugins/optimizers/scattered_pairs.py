"""Scattered pairs: the slope of L from pairs of single images, each pair along its own direction.

A black box is mostly asked for means over a minibatch, so that few directions are measured well. Here
each evaluation is on one image (``Ask.images``), and each pair of opposite points has its own image and
its own smooth direction: with equal queries, the images' differences average out over many directions
instead of over one. The slope is the posterior mean of a Bayesian linear regression (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", 2006, Section 2.1) on the last pairs, and the edit
takes steps of shrinking length along it. The budget does not matter, unless it is below one ask.

Without an edit L is nearly flat, because the SA head is sure of most images. The points of a pair are
therefore far apart, by more than the length of the edit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.parameters import parameter
from zobench.contracts.stateful import Stateful
from zobench.problem.spaces import DctSpace

from .frequencies import spectrum


@dataclass(frozen=True)
class ScatteredPairsParameters:
    """Hyperparameters of scattered pairs; a root mean square is that of the points, in pixel range."""

    side: int = parameter(12, "frequencies searched, down and across", low=1, high=48)
    pairs: int = parameter(20, "pairs of an ask, and of a step", low=1, high=4096)
    memory: int = parameter(800, "pairs that the slope is computed from, at most", low=1, high=4096)
    radius: float = parameter(0.035, "root mean square of half a pair's difference", low=1e-6)
    stride: float = parameter(
        0.009, "root mean square of the first step; step t has 1 / sqrt(t) of it", low=0
    )
    length: float = parameter(0.016, "root mean square of the edit, at most", low=1e-6)
    smoothness: float = parameter(
        1.5, "how fast the prior variance falls with frequency", low=0, high=3
    )
    corner: float = parameter(6.0, "frequency from which the prior variance falls", low=1)
    noise: float = parameter(
        1.0, "variance of an image's slope, relative to the mean prior variance", low=1e-3
    )


class ScatteredPairs(Stateful):
    """Pairs of points on one image each, then one step. Recommends the last iterate."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("edit", "directions", "slopes", "steps", "images", "rng")

    def __init__(self, context: OptimizerContext, parameters: ScatteredPairsParameters) -> None:
        self._p = p = parameters
        self.rng = context.rng
        _, height, width = context.space.shape
        self._waves = DctSpace(height, width, min(p.side, height, width))
        self._prior = spectrum(self._waves.side, p.smoothness, p.corner)
        self._pairs = min(p.pairs, max(1, context.budget // 2))
        count = len(self._prior)
        self.edit = torch.zeros(count, dtype=torch.float64)
        self.directions = torch.empty(0, count, dtype=torch.float64)
        self.slopes = torch.empty(0, dtype=torch.float64)
        self.steps = self.images = 0

    @staticmethod
    def paced(parameters: ScatteredPairsParameters, budget: int) -> bool:
        """Whether the budget decides the pairs of an ask: only one below a single ask does."""
        return budget < 2 * parameters.pairs

    def ask(self) -> Ask:
        """Opposite points around the edit; both points of a pair are evaluated on the same image."""
        white = torch.from_numpy(self.rng.standard_normal((self._pairs, len(self._prior))))
        self._drawn = torch.nn.functional.normalize(white * self._prior.sqrt())
        half = self._length(self._p.radius) * self._drawn
        points = torch.cat([self.edit + half, self.edit - half])
        images = self.images + np.arange(self._pairs, dtype=np.int64)
        return Ask(self._decode(points), np.concatenate([images, images]), images=1)

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Adds the pairs' slopes, and takes one step."""
        plus, minus = answer.values.double().chunk(2)
        slopes = (plus - minus) / (2.0 * self._length(self._p.radius))
        self.directions = torch.cat([self.directions, self._drawn])[-self._p.memory :]
        self.slopes = torch.cat([self.slopes, slopes])[-self._p.memory :]
        self.images += self._pairs
        self.steps += 1
        slope = self._slope()
        size = slope.norm()
        if size > 0:
            stride = self._length(self._p.stride) / math.sqrt(self.steps)
            moved = self.edit - stride * slope / size
            limit = self._length(self._p.length)
            self.edit = moved * min(1.0, limit / max(float(moved.norm()), 1e-300))

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self._decode(self.edit[None])[0]

    def _slope(self) -> Tensor:
        """The posterior mean ``(P,)`` of the slope of L."""
        root = self._prior.sqrt()
        white = self.directions * root
        moments = white.T @ white
        moments.diagonal().add_(self._p.noise * white.square().sum(1).mean())
        slope: Tensor = root * torch.linalg.solve(moments, white.T @ self.slopes)
        return slope

    def _length(self, rms: float) -> float:
        """Norm of the coefficients of an edit with the given root mean square."""
        return rms * self._waves.side

    def _decode(self, coefficients: Tensor) -> Tensor:
        """Points ``(K, *space.shape)``."""
        side = self._waves.side
        return self._waves.decode(coefficients.float().reshape(-1, 1, side, side))
