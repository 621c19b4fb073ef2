"""White-box Adam on the edit: the paper's DNE (UDE), the reference for black-box optimizers.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015. Each step takes one gradient on a
fresh minibatch. The default learning rate is from Jin et al. 2024, section 3.2; their released code
uses 0.00005, see ``adam-released``. The objective L has no lower bound, so Adam does not converge:
docs/explanation/calibration.md shows the effect of a smaller learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import parameter


@dataclass(frozen=True)
class AdamParameters:
    """Hyperparameters of Adam."""

    lr: float = parameter(0.01, "learning rate, in units of the pixel range", low=0)
    beta1: float = parameter(0.9, "decay of the mean gradient", low=0, high=0.999999)
    beta2: float = parameter(0.999, "decay of the mean squared gradient", low=0, high=0.999999)


class Adam:
    """Adam with one gradient per step, starting from a zero edit."""

    feedback: ClassVar[Feedback] = "gradient"
    paced: ClassVar[bool] = False

    def __init__(self, context: OptimizerContext, parameters: AdamParameters) -> None:
        self._edit = torch.zeros(context.space.shape, requires_grad=True, dtype=torch.float32)
        betas = (parameters.beta1, parameters.beta2)
        self._adam = torch.optim.Adam([self._edit], lr=parameters.lr, betas=betas)
        self._steps = 0

    def ask(self) -> Ask:
        """The gradient at the current edit."""
        point = self._edit.detach().clone()[None]
        return Ask(point, np.array([self._steps], dtype=np.int64), want="gradient")

    def tell(self, ask: Ask, answer: Answer) -> None:
        """One step of Adam."""
        if answer.gradients is None:
            raise ValueError("adam needs the gradients that it asked for")
        self._edit.grad = answer.gradients[0]
        self._adam.step()
        self._steps += 1

    def recommend(self) -> Tensor:
        """The last iterate."""
        return self._edit.detach().clone()

    def state_dict(self) -> State:
        """Edit and moments."""
        moments = self._adam.state.get(self._edit, {})
        return {
            "edit": self._edit.detach().clone(),
            "steps": self._steps,
            **{f"adam.{name}": value.clone() for name, value in moments.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        with torch.no_grad():
            self._edit.copy_(torch.as_tensor(state["edit"]))
        self._steps = int(str(state["steps"]))
        moments = {
            name.removeprefix("adam."): torch.as_tensor(value).clone()
            for name, value in state.items()
            if name.startswith("adam.")
        }
        self._adam.state.clear()
        if moments:
            self._adam.state[self._edit] = moments
