"""Checks what an optimizer hands over, and copies it: asks, recommended points and states.

The rest of zobench works on the copies. An optimizer that changes its own tensors afterwards
changes nothing that was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zobench.errors import PluginError

from .optimizer import FEEDBACK, Ask, Feedback, State

if TYPE_CHECKING:
    from torch import Tensor

MAX_STATE_BYTES = 2**30
"""Most bytes of all tensors and texts of a state."""

MAX_STATE_ENTRIES = 10_000
MAX_TEXT_CHARACTERS = 1_000_000
MAX_POINT_BYTES = 8 * 2**30
"""Most bytes of the points of an ask."""
NAME = r"[A-Za-z][A-Za-z0-9._-]{0,199}|_[A-Za-z0-9.-][A-Za-z0-9._-]{0,198}"
"""Names in a state; two underscores at the beginning are kept for the file format."""

STATE_DTYPES = (
    *("float32", "float64", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
MAX_STATE_BITS = 128
"""Most bits of a whole number in a state; the state of a NumPy generator has 128."""

ASK, RECOMMEND, STATE = "ask()", "recommend()", "state_dict()"


def taken_ask(found: object, optimizer: str, shape: tuple[int, ...], level: Feedback) -> Ask:
    """A checked copy of what an optimizer's ``ask`` returned.

    Args:
        found: The return value.
        optimizer: The optimizer's name, for messages.
        shape: The shape of a point of the space.
        level: The feedback level that the optimizer declares.

    Raises:
        PluginError: The return value breaks the contract of :class:`~zobench.contracts.Ask`.
    """
    if not isinstance(found, Ask):
        raise _broken(optimizer, ASK, f"a {type(found).__name__}", "zobench.contracts.Ask")
    points = _taken_tensor(found.points, optimizer, ASK, "points", (None, *shape))
    count, minibatch = len(points), found.minibatch
    rule = f"a NumPy array ({count},) of whole numbers from 0 to 2^63 - 1, one a point"
    if type(minibatch) is not np.ndarray:
        raise _broken(optimizer, ASK, f"minibatch numbers as {type(minibatch).__name__}", rule)
    kind = f"minibatch numbers of shape {minibatch.shape} and type {minibatch.dtype}"
    if minibatch.shape != (count,) or minibatch.dtype.kind not in "iu":
        raise _broken(optimizer, ASK, kind, rule)
    if int(minibatch.min()) < 0 or int(minibatch.max()) >= 2**63:
        wrong = next(int(each) for each in minibatch if not 0 <= int(each) < 2**63)
        raise _broken(optimizer, ASK, f"the minibatch number {wrong}", rule)
    if not isinstance(found.want, str) or found.want not in FEEDBACK:
        rule = "one of " + ", ".join(FEEDBACK)
        raise _broken(optimizer, ASK, f"the feedback level {found.want!r:.80}", rule)
    if FEEDBACK.index(found.want) > FEEDBACK.index(level):
        rule = f"at most its declared level, {level!r}"
        raise _broken(optimizer, ASK, f"the feedback level {found.want!r:.80}", rule)
    return Ask(points, minibatch.astype(np.int64), found.want)


def taken_point(found: object, optimizer: str, shape: tuple[int, ...]) -> Tensor:
    """A checked copy of the point that an optimizer's ``recommend`` returned.

    Raises:
        PluginError: The return value is no finite float32 tensor of ``shape`` on the CPU.
    """
    return _taken_tensor(found, optimizer, RECOMMEND, "a point", shape)


def taken_state(found: object, optimizer: str) -> State:
    """A checked copy of what an optimizer's ``state_dict`` returned.

    Raises:
        PluginError: The return value is no mapping from names to tensors, numbers and texts, or is
            larger than :data:`MAX_STATE_BYTES`.
    """
    rule = "a mapping from names to tensors, whole numbers, numbers and texts"
    if not isinstance(found, Mapping) or len(found) > MAX_STATE_ENTRIES:
        fault = f"{type(found).__name__}"
        if isinstance(found, Mapping):
            fault, rule = f"{len(found):,} entries", f"at most {MAX_STATE_ENTRIES:,}"
        raise _broken(optimizer, STATE, fault, rule)
    size, taken = 0, {}
    for name, value in found.items():
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            rule = "names of 1 to 200 letters, digits, dots, hyphens and underscores"
            raise _broken(optimizer, STATE, f"the name {name!r:.80}", rule)
        size += _bytes(name, value, optimizer)
        if size > MAX_STATE_BYTES:
            rule = f"at most {MAX_STATE_BYTES:,} in all"
            raise _broken(optimizer, STATE, f"{size:,} bytes up to {name!r}", rule)
        taken[name] = _copy(value)
    return taken


def _bytes(name: str, value: Any, optimizer: str) -> int:
    """The size of a value of a state."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            rule = "dense tensors"
            raise _broken(optimizer, STATE, f"{name!r} as a tensor of {value.layout}", rule)
        kind = str(value.dtype).removeprefix("torch.")
        if kind not in STATE_DTYPES:
            rule = "tensors of " + ", ".join(STATE_DTYPES)
            raise _broken(optimizer, STATE, f"{name!r} of type {kind}", rule)
        return value.numel() * value.element_size()
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            rule = f"at most {MAX_TEXT_CHARACTERS:,}"
            raise _broken(optimizer, STATE, f"{name!r} with {len(value):,} characters", rule)
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, float):
        return 8
    if isinstance(value, int):
        if value.bit_length() > MAX_STATE_BITS:
            rule = f"at most {MAX_STATE_BITS}"
            raise _broken(optimizer, STATE, f"{name!r} with {value.bit_length():,} bits", rule)
        return MAX_STATE_BITS // 8
    rule = "a tensor, a whole number, a number or a text"
    raise _broken(optimizer, STATE, f"{name!r} as {type(value).__name__}", rule)


def _copy(value: Any) -> Any:
    import torch

    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _taken_tensor(
    found: object, optimizer: str, method: str, what: str, shape: tuple[int | None, ...]
) -> Tensor:
    """A copy of a finite, dense float32 tensor on the CPU; ``None`` is any length of at least 1."""
    import torch

    wanted = ", ".join("K" if each is None else str(each) for each in shape)
    rule = f"a finite float32 tensor ({wanted}) on the CPU" + (", K >= 1" if None in shape else "")
    if not isinstance(found, torch.Tensor):
        raise _broken(optimizer, method, f"{what} as {type(found).__name__}", rule)
    fits = found.ndim == len(shape) and all(
        have >= 1 if want is None else have == want
        for have, want in zip(found.shape, shape, strict=True)
    )
    if not fits:
        raise _broken(optimizer, method, f"{what} of shape {tuple(found.shape)}", rule)
    if found.dtype != torch.float32:
        kind = str(found.dtype).removeprefix("torch.")
        raise _broken(optimizer, method, f"{what} of type {kind}, which is not converted", rule)
    if found.device.type != "cpu" or found.layout != torch.strided:
        where = f"{what} on {found.device} with layout {found.layout}"
        raise _broken(optimizer, method, where, rule)
    if found.numel() * found.element_size() > MAX_POINT_BYTES:
        size = f"{what} of {found.numel() * found.element_size():,} bytes"
        raise _broken(optimizer, method, size, f"{rule}, at most {MAX_POINT_BYTES:,} bytes")
    if not bool(torch.isfinite(found).all()):
        raise _broken(optimizer, method, f"{what} with NaN or infinity", rule)
    return found.detach().clone(memory_format=torch.contiguous_format)


def _broken(optimizer: str, method: str, fault: str, rule: str) -> PluginError:
    return PluginError(f"optimizer {optimizer!r}: {method} gave {fault}; it must give {rule}")
