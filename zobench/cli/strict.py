"""The class of all commands: nothing is taken twice, and no exception ends in a traceback."""

from __future__ import annotations

import errno
import inspect
import re
import typing
from collections import Counter
from typing import Any

from typer.core import TyperCommand

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError, Interrupted, StoreError, ZobenchError

MAY_BE_NONE = ("baselines", "controls")
"""Options whose value for nothing is the word none."""
THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
"""A whole number with commas, as outputs show it."""
MAX_NUMBER_CHARACTERS = 40
MAX_TEXT_CHARACTERS = 4096
SHOWN = 3
"""Most commands that a message names."""
MAX_PART_CHARACTERS = 255
"""Most characters of a name between slashes; file systems allow 255 bytes."""

PARTS = ("optimizer", "encoder", "dataset")
"""Parts of a run, each named by an option."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that takes no more."""


class StrictCommand(TyperCommand):
    """A command that refuses options given twice, empty values, and numbers in other alphabets."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Checks the raw values, and then parses them.

        Raises:
            ConfigError: An option is given twice, or is one of another command; a value is empty, too
                long or no number; a setting was split at its spaces; or the command takes no words
                without options.
        """
        try:
            values, surplus, order = self.make_parser(ctx).parse_args(list(args))
        except Exception as error:  # its class stands in another module with each version of typer
            option = getattr(error, "option_name", "")
            if pointer := self._pointer(ctx, option):
                raise ConfigError(f"{ctx.command_path} takes no {option}; {pointer}") from None
            raise
        if surplus and not ctx.resilient_parsing and _splits_a_setting(args, surplus[0]):
            raise ConfigError(
                f"nothing takes {' '.join(surplus)!r}; a setting with spaces, < or > must be in quotes: "
                "--set 'dataset.label=dx in mel'"
            )
        if surplus and not ctx.resilient_parsing and "--help" not in args and not self._arguments():
            raise ConfigError(f"{ctx.command_path} takes no {cut(surplus[0])}{self._named()}")
        for parameter, count in Counter(order).items():
            if count > 1 and not parameter.multiple and parameter.nargs != -1:
                raise ConfigError(f"{_name(parameter)} is given {count} times; give it once")
        numbers = _numbers(self.callback)
        for parameter in self.params:
            given = values.get(parameter.name)
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, str):
                    _check(parameter, value, numbers.get(parameter.name))
        return super().parse_args(ctx, args)

    def _arguments(self) -> list[Any]:
        """What the command takes without an option's name."""
        return [param for param in self.params if param.param_type_name == "argument"]

    def _pointer(self, ctx: Any, option: str) -> str:
        """Says where an option belongs that this command lacks.

        Empty if no built-in command has the option, or more than a message names.
        """
        if any(option in param.opts for param in self.params):  # its value is what is missing
            return ""
        arguments = [str(param.metavar or param.name).upper() for param in self._arguments()]
        if option.lstrip("-").upper() in arguments:
            return f"type its value without {option}: {ctx.command_path} {' '.join(arguments)}"
        owners = getattr(ctx.find_root().command, "owners", None)
        names: list[str] = owners(option) if owners is not None and option.startswith("--") else []
        if ctx.info_name == "suite" and _is_of_a_config(option):
            return (
                "a suite file names the settings of its runs; zobench suite quick --print shows one"
            )
        if not 0 < len(names) <= SHOWN:
            return ""
        *others, last = names
        return f"zobench {', '.join(others)} and {last} do" if others else f"zobench {last} does"

    def _named(self) -> str:
        """The options that name parts of a run, for a message about ``zobench run gezo``."""
        names = [param.name for param in self.params if param.name in PARTS]
        return "".join(f"; the {name} is named by --{name}" for name in names)

    def invoke(self, ctx: Any) -> Any:
        """Carries out the command; an exception that zobench does not know becomes one line.

        Raises:
            RunFailure: The code of a plugin, or of zobench, raised an exception.
            StoreError: The output goes to a disk that is full.
            Interrupted: The user pressed Ctrl-C where nothing is saved at a stop.
        """
        from typer import Abort, BadParameter, Exit

        from zobench.registry.failure import run_failure

        try:
            return super().invoke(ctx)
        except (ZobenchError, Abort, Exit, BadParameter, BrokenPipeError):
            raise  # a pipe that the reader has closed is typer's to handle
        except KeyboardInterrupt as error:
            raise Interrupted("stopped; what was saved before stays") from error
        except OSError as error:
            if error.errno not in FULL:
                raise run_failure(error) from error
            place = f" of {error.filename}" if error.filename else ""
            raise StoreError(f"the disk{place} is full: not all was written") from error
        except BaseException as error:  # SystemExit of a plugin as well
            raise run_failure(error) from error


def _is_of_a_config(option: str) -> bool:
    """Whether an option is a field of the config of a run."""
    import dataclasses

    from zobench.config import RunConfig

    fields = {declared.name for declared in dataclasses.fields(RunConfig)}
    return option.lstrip("-").replace("-", "_") in fields


def _splits_a_setting(args: list[str], surplus: str) -> bool:
    """Whether a word that nothing takes stands right behind a setting, and no help is asked for."""
    behind = (
        args[place - 2 : place - 1] == ["--set"] or args[place - 1].startswith("--set=")
        for place, word in enumerate(args)
        if place and word == surplus
    )
    return "--help" not in args and any(behind)


def _numbers(function: Any) -> dict[str, type[int | float]]:
    """The arguments of a function that are numbers, by their annotations."""
    hints = typing.get_type_hints(inspect.unwrap(function))
    return {
        name: kind
        for name, hint in hints.items()
        for kind in (int, float)
        if kind in {hint, *typing.get_args(hint)} and typing.get_origin(hint) is not list
    }


def _check(parameter: Any, value: str, number: type[int | float] | None) -> None:
    name = _name(parameter)
    if not value.strip():
        nothing = ", the word none for nothing" if parameter.name in MAY_BE_NONE else ""
        raise ConfigError(f"{name} is empty; give a value{nothing}, or leave {name} out")
    if number is not None:
        if len(value) > MAX_NUMBER_CHARACTERS:
            raise ConfigError(
                f"{name} has {len(value):,} characters; a number has at most {MAX_NUMBER_CHARACTERS}"
            )
        if not value.isascii() or "_" in value:
            raise ConfigError(f"{name} is {value!r}, but must be a number in digits 0 to 9")
        try:
            number(value)
        except ValueError:
            kind = "a whole number" if number is int else "a number"
            plain = value.strip().replace(",", "")
            meant = f" (did you mean {plain}?)" if THOUSANDS.fullmatch(value.strip()) else ""
            raise ConfigError(f"{name} is {value!r}, but must be {kind}{meant}") from None
    elif parameter.name != "settings" and max(map(len, value.split("/"))) > MAX_PART_CHARACTERS:
        raise ConfigError(
            f"{name} has a part of more than {MAX_PART_CHARACTERS} characters, which no file can have "
            "as its name"
        )
    elif len(value) > MAX_TEXT_CHARACTERS:
        raise ConfigError(
            f"{name} has {len(value):,} characters; at most {MAX_TEXT_CHARACTERS:,} are allowed"
        )


def _name(parameter: Any) -> str:
    """The name as typed: ``--seed``, or the name of an argument in capitals."""
    named: str = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
    return named or str(parameter.name).upper()
