"""A base class for optimizers that saves and restores named attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .optimizer import State
from .random_streams import dump_state, load_state

if TYPE_CHECKING:
    from torch import Tensor


class Stateful:
    """Saves the attributes named in :attr:`remembered`.

    The attributes may be tensors, numbers, texts and NumPy generators. A restore sets each to its
    saved value. List every attribute that decides the next ask.
    """

    remembered: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> State:
        """A copy of every remembered attribute."""
        return {name: _packed(getattr(self, name)) for name in self.remembered}

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        import numpy as np
        import torch

        for name in self.remembered:
            now = getattr(self, name)
            if isinstance(now, np.random.Generator):
                load_state(now, str(state[name]))
            elif isinstance(now, int | float | str):
                setattr(self, name, type(now)(state[name]))
            else:
                setattr(self, name, torch.as_tensor(state[name]).clone())


def _packed(value: Any) -> Tensor | int | float | str:
    import numpy as np

    if isinstance(value, np.random.Generator):
        return dump_state(value)
    if isinstance(value, float):
        return repr(value)  # JSON has no infinity
    if isinstance(value, int | str):
        return value
    copy: Tensor = value.detach().clone()
    return copy
