"""Checks what an optimizer hands over, and copies it: asks, recommended points and states.

The rest of zobench works on the copies. An optimizer that changes its own tensors afterwards
changes nothing that was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.errors import PluginError

from .optimizer import FEEDBACK, Ask, Feedback, State

if TYPE_CHECKING:
    from torch import Tensor

MAX_STATE_BYTES = 2**30
"""Most bytes of all tensors and texts of a state."""

MAX_STATE_ENTRIES = 10_000
MAX_TEXT_CHARACTERS = 1_000_000
MAX_POINTS = 10**8
"""Most points of an ask."""
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


@dataclass(frozen=True)
class AskRules:
    """The rules that an ask must keep.

    Attributes:
        optimizer: The optimizer's name, for messages.
        shape: The shape of a point of the space.
        level: The feedback level that the optimizer declares.
        batch_size: Images per minibatch where the ask names no other number.
        images: N, the number of training images.
        dimension: D, the numbers of an embedding; ``None`` where it is not known yet.
    """

    optimizer: str
    shape: tuple[int, ...]
    level: Feedback
    batch_size: int
    images: int
    dimension: int | None = None


def checked_ask(returned: object, rules: AskRules) -> Ask:
    """What an optimizer's ``ask`` returned, once everything but its points' values is checked.

    The points are neither read nor copied, so an ask whose price is refused costs no memory.

    Raises:
        PluginError: The return value breaks the contract of :class:`~zobench.contracts.Ask`.
    """
    optimizer, level = rules.optimizer, rules.level
    if not isinstance(returned, Ask):
        raise _broken(optimizer, ASK, f"a {type(returned).__name__}", "zobench.contracts.Ask")
    points = _check_tensor(returned.points, optimizer, ASK, "points", (None, *rules.shape))
    if len(points) > MAX_POINTS:
        raise _broken(optimizer, ASK, f"{len(points):,} points", f"at most {MAX_POINTS:,}")
    if not isinstance(returned.want, str) or returned.want not in FEEDBACK:
        rule = "one of " + ", ".join(FEEDBACK)
        raise _broken(optimizer, ASK, f"the feedback level {returned.want!r:.80}", rule)
    if FEEDBACK.index(returned.want) > FEEDBACK.index(level):
        rule = f"at most its declared level, {level!r}"
        raise _broken(optimizer, ASK, f"the feedback level {returned.want!r:.80}", rule)
    if (returned.rows is None) == (returned.minibatch is None):
        fault = (
            "both minibatch and rows" if returned.rows is not None else "no minibatch and no rows"
        )
        raise _broken(optimizer, ASK, fault, "one of them")
    rows = minibatch = None
    if returned.rows is not None:
        rows = _taken_rows(returned, rules)
    else:
        minibatch = _taken_minibatch(returned, rules)
    ask = Ask(returned.points, minibatch, returned.want, returned.images, rows, returned.cotangents)
    if ask.cotangents is not None:
        if ask.want != "gradient":
            fault = f"cotangents with the feedback level {ask.want!r}"
            raise _broken(optimizer, ASK, fault, "them with 'gradient' only")
        shape = (len(points), ask.images_each(rules.batch_size), rules.dimension)
        _check_tensor(ask.cotangents, optimizer, ASK, "cotangents", shape)
    return ask


def taken_ask(ask: Ask, optimizer: str) -> Ask:
    """An ask that :func:`checked_ask` has checked, with contiguous points without a graph.

    Points are not copied, since no code of the optimizer runs while they are still read: a copy
    of points with one image each costs up to 4 % of a run.

    Raises:
        PluginError: The points are too large, or not finite.
    """
    _require_finite(ask.points, optimizer, ASK, "points")
    cotangents = ask.cotangents
    if cotangents is not None:
        cotangents = _copied_tensor(cotangents, optimizer, ASK, "cotangents")
    return replace(ask, points=ask.points.detach().contiguous(), cotangents=cotangents)


def _taken_minibatch(ask: Ask, rules: AskRules) -> NDArray[np.int64]:
    count, minibatch, optimizer = len(ask.points), ask.minibatch, rules.optimizer
    rule = f"a NumPy array ({count},) of whole numbers from 0 to 2^63 - 1, one a point"
    if type(minibatch) is not np.ndarray:
        raise _broken(optimizer, ASK, f"minibatch numbers as {type(minibatch).__name__}", rule)
    kind = f"minibatch numbers of shape {minibatch.shape} and type {minibatch.dtype}"
    if minibatch.shape != (count,) or minibatch.dtype.kind not in "iu":
        raise _broken(optimizer, ASK, kind, rule)
    if int(minibatch.min()) < 0 or int(minibatch.max()) >= 2**63:
        wrong = next(int(number) for number in minibatch if not 0 <= int(number) < 2**63)
        raise _broken(optimizer, ASK, f"the minibatch number {wrong}", rule)
    images, rule = ask.images, f"a whole number from 1 to {rules.images:,}, the training images"
    if images is not None and (type(images) is not int or not 1 <= images <= rules.images):
        raise _broken(optimizer, ASK, f"images {images!r:.80}", rule)
    return minibatch.astype(np.int64)


def _taken_rows(ask: Ask, rules: AskRules) -> NDArray[np.int64]:
    count, rows, optimizer = len(ask.points), ask.rows, rules.optimizer
    if rules.level == "value":
        rule = "minibatch numbers; only the levels embeddings and gradient know rows"
        raise _broken(optimizer, ASK, "rows at level 'value'", rule)
    if ask.images is not None:
        raise _broken(optimizer, ASK, "both images and rows", "one of them")
    rule = (
        f"a NumPy array ({count}, b) of whole numbers from 0 to {rules.images - 1:,}, b images a "
        f"point and 1 <= b <= {rules.images:,}, the training images"
    )
    if type(rows) is not np.ndarray:
        raise _broken(optimizer, ASK, f"rows as {type(rows).__name__}", rule)
    kind = f"rows of shape {rows.shape} and type {rows.dtype}"
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(rows) != count:
        raise _broken(optimizer, ASK, kind, rule)
    if not 1 <= rows.shape[1] <= rules.images:
        raise _broken(optimizer, ASK, kind, rule)
    if int(rows.min()) < 0 or int(rows.max()) >= rules.images:
        wrong = next(int(number) for number in rows.flat if not 0 <= int(number) < rules.images)
        raise _broken(optimizer, ASK, f"the row {wrong}", rule)
    return rows.astype(np.int64)


def taken_point(returned: object, optimizer: str, shape: tuple[int, ...]) -> Tensor:
    """A checked copy of the point that an optimizer's ``recommend`` returned.

    Raises:
        PluginError: The return value is no finite float32 tensor of ``shape`` on the CPU.
    """
    return _copied_tensor(
        _check_tensor(returned, optimizer, RECOMMEND, "a point", shape),
        optimizer,
        RECOMMEND,
        "a point",
    )


def taken_state(returned: object, plugin: str, kind: str = "optimizer") -> State:
    """A checked copy of what a plugin's ``state_dict`` returned.

    Args:
        returned: The return value.
        plugin: The plugin's name, for messages.
        kind: The kind of plugin, for messages: ``optimizer`` or ``objective``.

    Raises:
        PluginError: The return value is no mapping from names to tensors, numbers and texts, or is
            larger than :data:`MAX_STATE_BYTES`.
    """
    rule = "a mapping from names to tensors, whole numbers, numbers and texts"
    if not isinstance(returned, Mapping) or len(returned) > MAX_STATE_ENTRIES:
        fault = f"{type(returned).__name__}"
        if isinstance(returned, Mapping):
            fault, rule = f"{len(returned):,} entries", f"at most {MAX_STATE_ENTRIES:,}"
        raise _broken(plugin, STATE, fault, rule, kind)
    size, taken = 0, {}
    for name, value in returned.items():
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            rule = "names of 1 to 200 letters, digits, dots, hyphens and underscores"
            raise _broken(plugin, STATE, f"the name {name!r:.80}", rule, kind)
        size += _bytes(name, value, plugin, kind)
        if size > MAX_STATE_BYTES:
            rule = f"at most {MAX_STATE_BYTES:,} in all"
            raise _broken(plugin, STATE, f"{size:,} bytes up to {name!r}", rule, kind)
        taken[name] = _copy(value)
    return taken


def _bytes(name: str, value: Any, plugin: str, kind: str) -> int:
    """The size of a value of a state."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            rule = "dense tensors"
            raise _broken(plugin, STATE, f"{name!r} as a tensor of {value.layout}", rule, kind)
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in STATE_DTYPES:
            rule = "tensors of " + ", ".join(STATE_DTYPES)
            raise _broken(plugin, STATE, f"{name!r} of type {dtype}", rule, kind)
        return value.numel() * value.element_size()
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            rule = f"at most {MAX_TEXT_CHARACTERS:,}"
            raise _broken(plugin, STATE, f"{name!r} with {len(value):,} characters", rule, kind)
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, float):
        return 8
    if isinstance(value, int):
        if value.bit_length() > MAX_STATE_BITS:
            rule = f"at most {MAX_STATE_BITS}"
            raise _broken(plugin, STATE, f"{name!r} with {value.bit_length():,} bits", rule, kind)
        return MAX_STATE_BITS // 8
    rule = "a tensor, a whole number, a number or a text"
    raise _broken(plugin, STATE, f"{name!r} as {type(value).__name__}", rule, kind)


def _copy(value: Any) -> Any:
    import torch

    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _check_tensor(
    returned: object, optimizer: str, method: str, what: str, shape: tuple[int | None, ...]
) -> Tensor:
    """A dense float32 tensor on the CPU, not copied; ``None`` is any length of at least 1."""
    import torch

    free = "K" if shape[0] is None else "D"
    wanted = ", ".join(free if size is None else str(size) for size in shape)
    at_least = f", {free} >= 1" if None in shape else ""
    rule = f"a finite float32 tensor ({wanted}) on the CPU{at_least}"
    if not isinstance(returned, torch.Tensor):
        raise _broken(optimizer, method, f"{what} as {type(returned).__name__}", rule)
    fits = returned.ndim == len(shape) and all(
        have >= 1 if want is None else have == want
        for have, want in zip(returned.shape, shape, strict=True)
    )
    if not fits:
        raise _broken(optimizer, method, f"{what} of shape {tuple(returned.shape)}", rule)
    if returned.dtype != torch.float32:
        kind = str(returned.dtype).removeprefix("torch.")
        raise _broken(optimizer, method, f"{what} of type {kind}, which is not converted", rule)
    if returned.device.type != "cpu" or returned.layout != torch.strided:
        where = f"{what} on {returned.device} with layout {returned.layout}"
        raise _broken(optimizer, method, where, rule)
    return returned


def _copied_tensor(tensor: Tensor, optimizer: str, method: str, what: str) -> Tensor:
    """A copy of a finite tensor of limited size."""
    import torch

    _require_finite(tensor, optimizer, method, what)
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _require_finite(tensor: Tensor, optimizer: str, method: str, what: str) -> None:
    """Checks that a tensor is finite and of limited size."""
    import torch

    size = tensor.numel() * tensor.element_size()
    if size > MAX_POINT_BYTES:
        fault = f"{what} of {size:,} bytes"
        raise _broken(optimizer, method, fault, f"at most {MAX_POINT_BYTES:,} bytes")
    # a finite sum has finite terms only, and is quicker; a sum of large numbers may overflow
    if not bool(torch.isfinite(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
        raise _broken(optimizer, method, f"{what} with NaN or infinity", "finite numbers")


def _broken(
    plugin: str, method: str, fault: str, rule: str, kind: str = "optimizer"
) -> PluginError:
    return PluginError(f"{kind} {plugin!r}: {method} gave {fault}; it must give {rule}")
