"""The options that choose runs among mixed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from zobench.config import RunConfig
    from zobench.records.selection import Choice
    from zobench.registry.discovery import Registry

Wheres = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="Only such runs, e.g. budget=6400 or dataset=nih. May be repeated.",
    ),
]
OfSuite = Annotated[
    str | None, typer.Option("--suite", help="Only the runs of this suite, or suite file.")
]


def chosen(wheres: list[str] | None, suite: str | None, registry: Registry) -> Choice:
    """Which runs the options mean; the parameters of a suite's plugins are those of the registry.

    Raises:
        ConfigError: A condition has another form, or the suite is unknown or broken.
    """
    from zobench.errors import ConfigError
    from zobench.records.selection import Choice, Where
    from zobench.runs.resolved import resolve_config
    from zobench.suite.file import read_suite
    from zobench.suite.named_suites import suite_file

    conditions = [Where.parsed(where) for where in wheres or []]
    if suite is None:
        return Choice(conditions)

    def parameters(config: RunConfig) -> Mapping[str, Any]:
        try:
            return resolve_config(config, registry).parameters
        except ConfigError:  # of a plugin that is not here; only what is typed the same is its run
            return {}

    return Choice(conditions, read_suite(suite_file(suite)).configs, parameters)
