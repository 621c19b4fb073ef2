"""Bias-adversarial augmentation (Lim et al., "BiasAdv", CVPR 2023).

The generalised cross-entropy (Zhang and Sabuncu 2018) trains an auxiliary head f_biased to rely on
easy features. Each training image is then changed, with gradients of the white-box encoder, so that
f_biased is wrong and the fair head f stays right:

    x' = argmax over |x' - x| <= radius of CE(y, f_biased(x')) - weight * CE(y, f(x'))

The fair head f is then trained on the original and the changed images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import L2, Head, Scale, fit_head

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BiasAdvParameters:
    """Parameters of the auxiliary head and of the attack."""

    exponent: float = parameter(0.7, "q of the generalised cross-entropy", low=0.01, high=1.0)
    radius: float = parameter(8.0, "largest change of a pixel, in 1/255", low=0.0)
    steps: int = parameter(
        10, "steps of the attack, with one backward pass each", low=1, high=1_000_000
    )
    keep: float = parameter(1.0, "weight of keeping the prediction of the fair head", low=0.0)


class BiasAdv:
    """A disease head trained on images and on images that fool a biased head."""

    needs_queries: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = True

    def __init__(self, context: MethodContext, parameters: BiasAdvParameters) -> None:
        self._context, self._parameters = context, parameters

    def solve(self) -> MethodResult:
        """Fits both heads, changes the images, and fits the fair head again on all of them."""
        context, train = self._context, self._context.train
        clean = context.embed_train()
        biased = fit_biased_head(clean, train.label, self._parameters.exponent)
        changed = self._changed(biased, self._head(clean, train.label))
        both, labels = np.concatenate([clean, changed]), np.concatenate([train.label] * 2)
        scores = self._head(both, labels).score(context.embed_test())
        confidence = [
            _confidence(biased, embeddings, train.label) for embeddings in (clean, changed)
        ]
        return context.result(scores, confidence_of_biased_head=confidence)

    def _head(self, embeddings: NDArray[np.float32], label: NDArray[np.int64]) -> Head:
        context = self._context
        return fit_head(
            embeddings, label, protocol=context.protocol, role="disease", rng=context.rng()
        )

    def _changed(self, biased: Head, fair: Head) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of the changed training images."""
        context, embeddings = self._context, []
        for block in context.train.blocks(context.spec.block):
            images = self._attack(
                context.train.batch(block), context.train.label[block], biased, fair
            )
            embeddings.append(context.embed(images).numpy())
            context.progress(block.stop, len(context.train))
        return np.concatenate(embeddings)

    def _attack(self, images: Tensor, label: NDArray[np.int64], biased: Head, fair: Head) -> Tensor:
        """Projected sign ascent from the images themselves (Madry et al. 2018)."""
        import torch

        chosen, y = self._parameters, torch.from_numpy(label)
        radius = chosen.radius / 255
        stride = 2.5 * radius / chosen.steps

        def gain(embeddings: Tensor) -> Tensor:
            errs = biased.cross_entropy(embeddings, y)
            return (errs - chosen.keep * fair.cross_entropy(embeddings, y)).sum()

        changed = images
        for _ in range(chosen.steps):
            moved = changed + stride * self._context.gradient(changed, gain).sign()
            changed = torch.minimum(torch.maximum(moved, images - radius), images + radius)
            changed = changed.clamp(0.0, 1.0)
        return changed


def fit_biased_head(
    embeddings: NDArray[np.floating], label: NDArray[np.int64], exponent: float
) -> Head:
    """A head that minimises the mean of ``(1 - p_y^q) / q``; hard images have little weight."""
    from scipy.optimize import minimize
    from scipy.special import expit

    features = np.asarray(embeddings, dtype=np.float64)
    scale = Scale.of(features)
    x = scale.standardised(features)
    sign = 2.0 * label - 1.0

    def loss(parameters: Floats) -> tuple[float, Floats]:
        w, b = parameters[:-1], parameters[-1]
        chance = expit(sign * (x @ w + b))
        value = ((1.0 - chance**exponent) / exponent).mean() + 0.5 * L2 * w @ w
        pull = -sign * chance**exponent * (1.0 - chance) / len(x)
        return float(value), np.append(x.T @ pull + L2 * w, pull.sum())

    start = np.zeros(x.shape[1] + 1)
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000}).x
    return scale.head(solution[:-1], float(solution[-1]))


def _confidence(head: Head, embeddings: NDArray[np.floating], label: NDArray[np.int64]) -> float:
    """Mean probability of the true class."""
    from scipy.special import expit

    return float(expit((2.0 * label - 1.0) * head.score(embeddings)).mean())
