"""All commands, in the order of the help; each imports what it needs only when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from . import (
    compare,
    doctor,
    gate,
    plugin,
    pretrain,
    probe,
    replay,
    report,
    resume,
    run,
    serve,
    show,
    suite,
    verify,
)
from . import list as list_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

ONE_RUN, MANY_RUNS, MATERIAL = "One run", "Many runs", "What runs are made of"
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    ONE_RUN: (run.run, resume.resume, show.show, verify.verify, replay.replay),
    MANY_RUNS: (suite.suite, report.report, compare.compare, gate.gate),
    MATERIAL: (list_command.list_, probe.probe, pretrain.pretrain, doctor.doctor, serve.serve),
}
"""The built-in commands by panel of the help."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from zobench.registry.discovery import distribution_version

        print(f"zobench {distribution_version('zobench')}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Which black-box optimizer buys the most fairness per query?"""


def _add_commands() -> None:
    """Adds the built-in commands, and those of plugins after the ones on many runs."""
    for panel, functions in COMMANDS.items():
        for function in functions:
            name = function.__name__.removesuffix("_")
            app.command(name, rich_help_panel=panel)(function)
        if panel == MANY_RUNS:
            for name, function in _commands_of_plugins():
                app.command(name, rich_help_panel=panel)(function)
    app.add_typer(plugin.app, name="plugin", rich_help_panel=MATERIAL)


def _commands_of_plugins() -> list[tuple[str, Callable[..., None]]]:
    """Commands that plugins bring; none if a plugin is broken, which the command itself will say."""
    from zobench.errors import PluginError
    from zobench.registry.discovery import load_registry

    try:
        offers = load_registry().offers["commands"].values()
        return [(offer.name, offer.plugin.load()) for offer in offers]
    except PluginError:
        return []


_add_commands()
