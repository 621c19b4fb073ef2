from __future__ import annotations

import numpy as np
import torch
from zobench_plugins.optimizers.adam import Adam, AdamParameters

from zobench.contracts.optimizer import Answer, OptimizerContext
from zobench.problem.spaces import PixelSpace


def test_the_first_steps_follow_kingma_and_ba() -> None:
    """Two steps against m/(1-b1), v/(1-b2) and the step, computed by hand."""
    context = OptimizerContext(PixelSpace(1, 1), np.random.default_rng(0), 100, 1)
    adam = Adam(context, AdamParameters(lr=0.1, beta1=0.9, beta2=0.99))
    edit, m, v = 0.0, 0.0, 0.0
    for t, gradient in enumerate((2.0, -0.5), start=1):
        ask = adam.ask()
        assert ask.want == "gradient"
        adam.tell(ask, Answer(torch.zeros(1), None, torch.full((1, 1, 1, 1), gradient)))
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        edit -= 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)) ** 0.5 + 1e-8)
        assert np.isclose(float(adam.recommend()), edit, rtol=1e-5)


def test_every_step_takes_a_fresh_minibatch() -> None:
    context = OptimizerContext(PixelSpace(1, 1), np.random.default_rng(0), 100, 1)
    adam = Adam(context, AdamParameters())
    numbers = []
    for _ in range(3):
        ask = adam.ask()
        numbers += ask.minibatch.tolist()
        adam.tell(ask, Answer(torch.zeros(1), None, torch.ones(1, 1, 1, 1)))
    assert numbers == [0, 1, 2]
