"""Linear heads on embeddings, trained by one of two named protocols.

``converged``: features standardised, L2-regularised logistic regression solved to its optimum with
L-BFGS. It is the default. The problem is convex, so the solution is unique. The SA head
gives the four cells of (disease, SA) equal weight. On a biased training set, an unweighted SA head
could predict SA from the disease, and the optimizer would then hide the disease.

``paper``: raw features, mini-batches, a fixed number of epochs: Adam with lr 1e-4 for the SA head
g, AdamW with lr 1.25e-4 for the disease head f, 50 epochs each (Jin et al. 2024, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.head import HeadProtocol, Role

if TYPE_CHECKING:
    from torch import Tensor

L2 = 0.1
"""Weight of ``0.5 * L2 * |w|^2`` beside the mean cross-entropy, on standardised features."""

PAPER_EPOCHS = 50
PAPER_BATCH = 64
PAPER_RATES: dict[Role, float] = {"sensitive": 1e-4, "disease": 1.25e-4}

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Batches = Callable[[np.random.Generator], Iterator[Labels]]
"""Returns the batches of one epoch, each an array of row numbers of the training images."""


@dataclass(frozen=True)
class Head:
    """Two logits ``embedding @ weight.T + bias``, in float64.

    Attributes:
        weight: The weights ``(2, D)``.
        bias: The biases ``(2,)``.
    """

    weight: Floats
    bias: Floats

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Logits ``(N, 2)`` of embeddings ``(N, D)``."""
        return np.asarray(embeddings, dtype=np.float64) @ self.weight.T + self.bias

    def score(self, embeddings: NDArray[np.floating]) -> Floats:
        """Logit of class 1 minus logit of class 0, ``(N,)``; a positive score predicts class 1."""
        logits = self.logits(embeddings)
        return np.asarray(logits[:, 1] - logits[:, 0])

    def predict(self, embeddings: NDArray[np.floating]) -> Labels:
        """The more likely class, ``(N,)``; a tie is class 0."""
        return (self.score(embeddings) > 0).astype(np.int64)

    def cross_entropy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy ``(...)`` float64 of embeddings ``(..., D)`` and classes ``(...)``."""
        import torch

        weight = torch.from_numpy(self.weight).to(embeddings.device)
        bias = torch.from_numpy(self.bias).to(embeddings.device)
        logits = embeddings.double() @ weight.T + bias
        chosen = torch.gather(logits, -1, labels[..., None])[..., 0]
        return torch.logsumexp(logits, dim=-1) - chosen


@dataclass(frozen=True)
class Scale:
    """Mean and spread of features, to fit heads on standardised features.

    Attributes:
        mean: The mean of each feature, ``(D,)``.
        spread: The standard deviation of each feature, ``(D,)``; 1 for a constant feature.
    """

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, features: Floats) -> Scale:
        """The scale of features ``(N, D)``."""
        spread = features.std(0)
        return cls(features.mean(0), np.where(spread > 0, spread, 1.0))

    def standardised(self, features: Floats) -> Floats:
        """Features of mean 0 and spread 1."""
        return np.asarray((features - self.mean) / self.spread)

    def head(self, weight: Floats, bias: float) -> Head:
        """The head on raw features whose score is ``standardised @ weight + bias``."""
        w = weight / self.spread
        b = float(bias - self.mean @ w)
        return Head(weight=np.stack([-0.5 * w, 0.5 * w]), bias=np.array([-0.5 * b, 0.5 * b]))


def fit_head(
    embeddings: NDArray[np.floating],
    labels: Labels,
    *,
    protocol: HeadProtocol,
    role: Role,
    rng: np.random.Generator,
    weights: Floats | None = None,
    batches: Batches | None = None,
) -> Head:
    """Trains a linear head.

    Args:
        embeddings: ``(N, D)``.
        labels: ``(N,)`` of 0 and 1.
        protocol: ``converged`` or ``paper``, see the module's docstring.
        role: The attribute that the head predicts; the paper trains the two roles differently.
        rng: Draws initial weights and batches for ``paper``; ``converged`` does not use it.
        weights: Image weights ``(N,)`` of mean 1 for ``converged``; all 1 if ``None``.
        batches: Returns the batches of one epoch of ``paper``; random batches if ``None``.
    """
    features = np.asarray(embeddings, dtype=np.float64)
    if protocol == "converged":
        return _converged(features, labels, np.ones(len(labels)) if weights is None else weights)
    if weights is not None:
        raise ValueError("the paper protocol takes no weights")
    return _paper(features, labels, role, rng, batches)


def fit_sensitive_head(
    embeddings: NDArray[np.floating],
    sensitive: Labels,
    label: Labels,
    *,
    protocol: HeadProtocol,
    rng: np.random.Generator,
) -> Head:
    """Trains an SA head g.

    Args:
        embeddings: ``(N, D)``.
        sensitive: SA ``(N,)`` of 0 and 1.
        label: Disease ``(N,)`` of 0 and 1.
        protocol: ``converged`` gives all cells equal weight; ``paper`` uses no weights.
        rng: See :func:`fit_head`.
    """
    weights = cell_weights(label, sensitive) if protocol == "converged" else None
    return fit_head(
        embeddings, sensitive, protocol=protocol, role="sensitive", rng=rng, weights=weights
    )


def cell_weights(label: Labels, sensitive: Labels) -> Floats:
    """Weights ``(N,)`` of mean 1 that give every non-empty cell of (label, SA) the same total."""
    cell = 2 * label + sensitive
    counts = np.bincount(cell, minlength=4)
    return np.asarray(len(cell) / (np.count_nonzero(counts) * counts[cell]))


def _converged(features: Floats, labels: Labels, weights: Floats) -> Head:
    """Binary logistic regression at its optimum; two logits -m/2 and m/2 give the same softmax."""
    from scipy.optimize import minimize

    scale = Scale.of(features)
    x = scale.standardised(features)
    sign = 2.0 * labels - 1.0

    def loss(parameters: Floats) -> tuple[float, Floats]:
        w, b = parameters[:-1], parameters[-1]
        margin = sign * (x @ w + b)
        value = (weights * np.logaddexp(0.0, -margin)).mean() + 0.5 * L2 * w @ w
        pull = -sign * weights * _sigmoid(-margin) / len(x)
        return float(value), np.append(x.T @ pull + L2 * w, pull.sum())

    start = np.zeros(features.shape[1] + 1)
    solution = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30},
    ).x
    return scale.head(solution[:-1], float(solution[-1]))


def _sigmoid(x: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(x))


def _paper(
    features: Floats,
    labels: Labels,
    role: Role,
    rng: np.random.Generator,
    batches: Batches | None = None,
) -> Head:
    """A torch linear layer trained as the paper trains it."""
    import torch

    bound = 1.0 / np.sqrt(features.shape[1])
    weight = torch.from_numpy(rng.uniform(-bound, bound, (2, features.shape[1]))).requires_grad_()
    bias = torch.from_numpy(rng.uniform(-bound, bound, 2)).requires_grad_()
    make = torch.optim.Adam if role == "sensitive" else torch.optim.AdamW
    optimizer = make([weight, bias], lr=PAPER_RATES[role])
    x, y = torch.from_numpy(features), torch.from_numpy(labels)

    def shuffled(rng: np.random.Generator) -> Iterator[Labels]:
        order = rng.permutation(len(x))
        for start in range(0, len(order), PAPER_BATCH):
            yield order[start : start + PAPER_BATCH]

    for _ in range(PAPER_EPOCHS):
        for rows in map(torch.from_numpy, (batches or shuffled)(rng)):
            loss = torch.nn.functional.cross_entropy(x[rows] @ weight.T + bias, y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return Head(weight=weight.detach().numpy(), bias=bias.detach().numpy())
