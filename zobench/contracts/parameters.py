"""Declared parameters of plugins: one frozen dataclass per plugin, with ranges and help.

A plugin annotates its argument ``parameters`` with the dataclass, and each field is declared with
:func:`parameter`. Overrides such as ``optimizer.step=0.02`` are checked against the dataclass.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any

from zobench.errors import ConfigError

LARGEST = 1_000_000
"""Bound on the absolute value of a number whose declaration gives no bound of its own."""

MAX_CHARACTERS = 4096
"""Most characters of a text."""

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")
NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")

SHOWN_CHARACTERS = 80

UNSET = "unset"
"""The text that stands for a parameter that is not set."""


@dataclasses.dataclass(frozen=True)
class NoParameters:
    """The parameters of a plugin that has none."""


@dataclasses.dataclass(frozen=True)
class Declaration:
    """One declared parameter, as ``zobench list`` shows it.

    Attributes:
        name: The name of the field.
        type: int, float, bool or str.
        default: Value where the user says nothing; ``None`` for "not set".
        help: One line.
        low: Smallest value allowed.
        high: Largest value allowed.
        choices: The only texts allowed; empty for any.
        incidental: Whether the parameter cannot change a result.
        optional: Whether the parameter may be "not set".
    """

    name: str
    type: type
    default: object
    help: str
    low: float
    high: float
    choices: tuple[str, ...]
    incidental: bool
    optional: bool = False

    @property
    def rule(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        rule = words[self.type]
        if self.type in (int, float):
            rule = f"{rule} from {_shown(self.low)} to {_shown(self.high)}"
        return f"{rule}, or {UNSET}" if self.optional else rule


def _shown(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def shown_default(declared: Declaration) -> str:
    """The default as messages and lists show it."""
    return UNSET if declared.default is None else repr(declared.default)


def parameter(
    default: Any,
    help: str,  # noqa: A002 - the word that every command-line library uses
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    incidental: bool = False,
) -> Any:
    """Declares a field of a ``Parameters`` dataclass, of type int, float, bool or str.

    A field of type ``int | None`` or ``float | None`` with the default ``None`` may be left unset; its
    help text says how an unset value is handled.

    Args:
        default: Value where the user says nothing.
        help: One line, with the unit.
        low: Smallest value allowed; :data:`LARGEST` below zero if ``None``.
        high: Largest value allowed; :data:`LARGEST` if ``None``.
        choices: The only texts allowed.
        incidental: Whether the parameter cannot change a result, such as a number of
            connections; runs that differ only in this value have the same identity.
    """
    notes = {
        "help": help,
        "low": low,
        "high": high,
        "choices": choices,
        "incidental": incidental,
    }
    return dataclasses.field(default=default, metadata=notes)


def declarations(parameters: type) -> Mapping[str, Declaration]:
    """The declared parameters of a ``Parameters`` class, by name."""
    return _declarations(parameters)


@functools.cache
def _declarations(parameters: Hashable) -> Mapping[str, Declaration]:
    assert isinstance(parameters, type)
    hints = typing.get_type_hints(parameters)
    return {
        field.name: Declaration(
            name=field.name,
            type=_value_type(hints[field.name]),
            optional=type(None) in typing.get_args(hints[field.name]),
            default=field.default,
            help=field.metadata.get("help", ""),
            low=_or(field.metadata.get("low"), -LARGEST),
            high=_or(field.metadata.get("high"), LARGEST),
            choices=field.metadata.get("choices", ()),
            incidental=field.metadata.get("incidental", False),
        )
        for field in dataclasses.fields(parameters)
    }


def _or(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound


def _value_type(hint: Any) -> type:
    """``int`` for ``int | None``; a type without ``None`` is returned unchanged."""
    if isinstance(hint, types.UnionType):
        hint = next(argument for argument in typing.get_args(hint) if argument is not type(None))
    assert isinstance(hint, type)
    return hint


def resolve(parameters: type, overrides: Mapping[str, object], owner: str) -> Any:
    """An instance of ``parameters`` with ``overrides`` (typed values or texts) put in.

    Raises:
        ConfigError: A name is unknown (the message names the nearest), or a value breaks its rule.
    """
    declared = declarations(parameters)
    values = {}
    for name, value in overrides.items():
        if name not in declared:
            raise ConfigError(f"{owner} has no parameter {cut(name)}" + _advice(name, declared))
        values[name] = _checked(declared[name], value, f"{owner}.{name}")
    return parameters(**values)


def essential(parameters: Any) -> dict[str, Any]:
    """Values of an instance that can change a result, by name."""
    return {
        name: getattr(parameters, name)
        for name, declared in declarations(type(parameters)).items()
        if not declared.incidental
    }


def cut(value: object) -> str:
    """A value as messages show it: at most 80 characters of it."""
    if isinstance(value, int) and not -(10**80) < value < 10**80:
        return f"a number of {value.bit_length()} bits"
    try:
        shown = repr(value)
    except Exception:  # a number with thousands of digits in it, or a text of somebody else's code
        return f"a {type(value).__name__} that cannot be shown"
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}… (cut)"


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """The text ``(did you mean …?)`` with the nearest known name, or an empty text."""
    if len(name) > SHOWN_CHARACTERS:
        return ""
    lower = {known.lower(): known for known in names}  # capitals count for nothing
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[close[0]]!r}?)" if close else ""


def _advice(name: str, declared: Mapping[str, Declaration]) -> str:
    if not declared:
        return "; it has no parameters"
    return nearest(name, declared) or f"; it has {', '.join(sorted(declared))}"


def _checked(declared: Declaration, value: object, where: str) -> object:
    if declared.optional and (value is None or str(value).lower() == UNSET):
        return None
    typed = _typed(declared.type, value)
    bad = typed is None
    if typed is not None and not bad:
        if declared.choices:
            bad = typed not in declared.choices
        elif isinstance(typed, int | float) and not isinstance(typed, bool):
            bad = not (declared.low <= typed <= declared.high and math.isfinite(typed))
    if bad:
        raise ConfigError(
            f"{where} is {cut(value)}, but must be {declared.rule} "
            f"(default {shown_default(declared)})"
        )
    return typed


def _typed(type_: type, value: object) -> object | None:
    """The value as ``type_``, or ``None`` where it cannot be one."""
    if type_ is bool:
        words = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
        return value if isinstance(value, bool) else words.get(str(value).lower())
    if isinstance(value, bool):
        return None
    if type_ is int:
        if isinstance(value, int):
            return value
        return int(text) if WHOLE_NUMBER.fullmatch(text := str(value)) else None
    if type_ is float:
        if isinstance(value, float):
            return value
        if isinstance(value, int):
            return float(value) if abs(value) < 2**1000 else None
        return float(text) if NUMBER.fullmatch(text := str(value)) else None
    text = str(value)
    return text if len(text) <= MAX_CHARACTERS and "\0" not in text else None
