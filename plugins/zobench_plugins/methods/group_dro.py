"""Group DRO (Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020).

Their Algorithm 1 on the disease head: weights q of the groups (y, a) grow exponentially with the
groups' losses, and the head follows the gradient of the loss weighted by q. The loss is convex and
the head is small, so each step uses all images, and the average of all iterates is the result
(their Proposition 2). The paper stresses regularisation: a strong L2 penalty, and the adjustment
C / sqrt(n_g) for small groups (their Eq. 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.problem.heads import L2, Head, Scale

Floats = NDArray[np.float64]
GROUPS = 4
SMOOTHNESS = 0.25
"""Largest second derivative of the logistic loss."""


@dataclass(frozen=True)
class GroupDroParameters:
    """Hyperparameters, named as in the paper."""

    steps: int = parameter(3000, "gradient steps, each on all images", low=1, high=1_000_000)
    group_step: float = parameter(0.01, "eta_q, step size of the groups' weights", low=0.0)
    l2: float = parameter(L2, "L2 penalty of the standardised head", low=0.0)
    adjustment: float = parameter(0.0, "C of the small groups' adjustment", low=0.0)


class GroupDro:
    """A disease head for the worst of the four groups of (y, a)."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext, parameters: GroupDroParameters) -> None:
        self._context, self._parameters = context, parameters

    def solve(self) -> MethodResult:
        """Trains the head on clean embeddings; its final weights are kept as a note."""
        context, train = self._context, self._context.train
        group = 2 * train.label + train.sensitive
        head, weights = fit_worst_group(
            np.asarray(context.embed_train(), dtype=np.float64),
            train.label,
            group,
            self._parameters,
        )
        scores = head.score(context.embed_test())
        return context.result(scores, group_weights=[float(weight) for weight in weights[-1]])


def fit_worst_group(
    features: Floats,
    label: NDArray[np.int64],
    group: NDArray[np.int64],
    parameters: GroupDroParameters,
) -> tuple[Head, Floats]:
    """The head, and the group weights ``(steps + 1, 4)`` before and after every step.

    Args:
        features: Embeddings ``(N, D)``.
        label: ``(N,)`` of 0 and 1.
        group: Groups ``(N,)``, 0 to 3; a group without images has weight 0.
        parameters: Hyperparameters of Group DRO.
    """
    scale = Scale.of(features)
    x = np.column_stack([scale.standardised(features), np.ones(len(features))])
    sign = 2.0 * label - 1.0
    member = (group[None] == np.arange(GROUPS)[:, None]).astype(np.float64)
    counts = member.sum(1)
    there = counts > 0
    member[there] /= counts[there, None]
    adjustment = np.where(there, parameters.adjustment / np.sqrt(np.maximum(counts, 1)), 0.0)
    shrink = np.append(np.full(x.shape[1] - 1, parameters.l2), 0.0)
    steepest = max(float(np.linalg.eigvalsh((x * row[:, None]).T @ x)[-1]) for row in member[there])
    rate = 1.0 / (SMOOTHNESS * steepest + parameters.l2)
    q = np.where(there, 1.0 / there.sum(), 0.0)
    logs = np.where(there, 0.0, -np.inf)  # of q, up to a constant
    w, total, path = np.zeros(x.shape[1]), np.zeros(x.shape[1]), [q]
    for _ in range(parameters.steps):
        margin = sign * (x @ w)
        losses = member @ np.logaddexp(0.0, -margin) + adjustment
        logs += parameters.group_step * losses
        logs -= logs.max()  # cancels in the quotient; no number is too large, and not all are zero
        q = np.exp(logs)
        q /= q.sum()
        pull = -sign * (q @ member) / (1.0 + np.exp(np.clip(margin, -500, 500)))
        w = w - rate * (x.T @ pull + shrink * w)
        total += w
        path.append(q)
    average = total / parameters.steps
    return scale.head(average[:-1], float(average[-1])), np.stack(path)
