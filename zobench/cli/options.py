"""Options that several commands have."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from zobench.config import RunConfig
from zobench.contracts.parameters import NUMBER, cut
from zobench.errors import ConfigError

from . import completion

DEFAULTS = RunConfig()

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
EncoderSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="encoder.NAME=VALUE", help="A parameter, e.g. encoder.chunk=16."),
]
Trackers = Annotated[
    list[str] | None,
    typer.Option("--tracker", metavar="NAME", help="See: zobench list trackers. May be repeated."),
]
Out = Annotated[
    str, typer.Option(metavar="FOLDER|URL", help="Folder or URL for run folders, e.g. s3://…")
]
MovedTo = Annotated[
    str | None,
    typer.Option("--encoder-url", help="New address of the service, if it has changed."),
]
MAX_TIME = "Wall time after which the optimizer is asked no more, e.g. 90s, 30m or 2h."
"""Help of ``--max-time``."""

RunFolderArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run folder, or its URL.", autocompletion=completion.runs),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUNS",
        help="Run folders, folders of runs, or URLs.",
        autocompletion=completion.runs,
    ),
]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIME = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,6})?)(?P<unit>[smh])")
"""A time as users write it, and the seconds of its units."""
LONG_TIME = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,6})?) ?((?P<unit>[smh])[a-z]*)?")
"""A time without a unit, or with its unit in letters, such as ``10 min``."""


def seconds(text: str) -> float:
    """Seconds of a time such as ``30m``; ``0`` is no limit.

    Raises:
        ConfigError: The text has another form.
    """
    if text.strip() == "0":
        return 0.0
    match = TIME.fullmatch(text.strip())
    if match is None:
        long = LONG_TIME.fullmatch(text.strip())
        meant = f" (did you mean {long['number']}{long['unit'] or 's'}?)" if long else ""
        raise ConfigError(
            f"--max-time is {cut(text)}, but must be a time such as 90s, 30m or 2h{meant}"
        )
    return float(match["number"]) * UNITS[match["unit"]]


def recovery(text: str) -> float:
    """The number in ``recovery=0.5``.

    Raises:
        ConfigError: The text has another form, or the number is not above 0 and at most 1.
    """
    name, _, number = text.strip().partition("=")
    if name == "recovery" and NUMBER.fullmatch(number) and 0 < float(number) <= 1:
        return float(number)
    percent = number.removesuffix("%")
    meant = ""
    if name == "recovery" and NUMBER.fullmatch(percent) and 1 < float(percent) <= 100:
        meant = f" (did you mean recovery={float(percent) / 100:g}?)"
    raise ConfigError(f"--until is {cut(text)}, but must be recovery=X with 0 < X <= 1{meant}")
