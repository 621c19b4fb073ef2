"""A base class for optimizers that saves and restores named attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from zobench.errors import PluginError

from .optimizer import State
from .random_streams import dump_state, load_state

if TYPE_CHECKING:
    from torch import Tensor


class Stateful:
    """Saves the attributes named in :attr:`remembered`.

    The attributes may be tensors, numbers, texts, NumPy generators and other optimizers. A restore
    sets each to its saved value. List every attribute that decides the next ask.
    """

    remembered: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> State:
        """A copy of every remembered attribute; an optimizer's are named ``attribute.name``."""
        state: dict[str, Tensor | int | float | str] = {}
        for name in self.remembered:
            value = getattr(self, name)
            if _is_optimizer(value):
                state |= prefixed(name, value.state_dict())
            else:
                state[name] = _packed(value)
        return state

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`.

        Raises:
            PluginError: An attribute is not there, since another version saved the state.
        """
        import numpy as np
        import torch

        for name in self.remembered:
            now = getattr(self, name)
            if not _is_optimizer(now) and name not in state:
                raise PluginError(
                    f"the saved state of {type(self).__name__} lacks {name!r}: another version of it "
                    "has begun this run; go on with that version, or start a new run"
                )
            if _is_optimizer(now):
                now.load_state_dict(below(name, state))
            elif isinstance(now, np.random.Generator):
                load_state(now, str(state[name]))
            elif isinstance(now, int | float | str):
                setattr(self, name, type(now)(state[name]))
            else:
                setattr(self, name, torch.as_tensor(state[name]).clone())


def prefixed(name: str, state: State) -> State:
    """The state of an optimizer inside another one, as part of the other's: ``name.KEY``."""
    return {f"{name}.{key}": value for key, value in state.items()}


def below(name: str, state: State) -> State:
    """The inverse of :func:`prefixed`: what a state holds of the optimizer inside."""
    start = f"{name}."
    return {key.removeprefix(start): state[key] for key in state if key.startswith(start)}


def _is_optimizer(value: Any) -> bool:
    return hasattr(value, "load_state_dict")


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
