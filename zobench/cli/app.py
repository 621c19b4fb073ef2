"""All commands, in the order of the help; a command imports its modules only when it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from zobench.errors import PluginError

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
from .strict import StrictCommand

if TYPE_CHECKING:
    from zobench.registry.discovery import Offer

ONE_RUN, MANY_RUNS, MATERIAL = "One run", "Many runs", "What runs are made of"
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    ONE_RUN: (run.run, resume.resume, show.show, verify.verify, replay.replay),
    MANY_RUNS: (suite.suite, report.report, compare.compare, gate.gate),
    MATERIAL: (list_command.list_, probe.probe, pretrain.pretrain, doctor.doctor, serve.serve),
}
"""The built-in commands by panel of the help."""


class Commands(TyperGroup):
    """The built-in commands, and those of plugins, which are loaded for the help or when typed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help: those of plugins after the commands on many runs."""
        names = super().list_commands(ctx)
        place = names.index(COMMANDS[MANY_RUNS][-1].__name__) + 1
        return [*names[:place], *self._of_plugins, *names[place:]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name; ``None`` if there is none."""
        return super().get_command(ctx, cmd_name) or self._of_plugins.get(cmd_name)

    @cached_property
    def _of_plugins(self) -> dict[str, Any]:
        """Commands of plugins; none if a plugin is broken, which other commands will say."""
        from zobench.registry.discovery import load_registry

        try:
            offers = load_registry().offers["commands"].values()
        except PluginError:
            return {}
        built_in = super().list_commands(typer.Context(self))
        for offer in offers:
            if offer.name in built_in:
                raise PluginError(
                    f"the command {offer.name!r} of distribution {offer.distribution!r} has the name "
                    "of a built-in command; rename it, or uninstall that distribution"
                )
        return {offer.name: _command(offer) for offer in offers}


def _command(offer: Offer) -> Any:
    """The command of a plugin, in its panel of the help; one that cannot be loaded says why."""
    name, panel = offer.name, offer.plugin.label or MANY_RUNS
    try:
        function = offer.plugin.load()
    except PluginError as error:
        function = _broken(PluginError(f"distribution {offer.distribution!r}: {error}"))
    try:
        return _as_command(name, function, panel)
    except Exception as error:  # no function, or annotations that typer cannot read
        said = f"distribution {offer.distribution!r}: {type(error).__name__}: {error}"
        return _as_command(name, _broken(PluginError(said)), panel)


def _as_command(name: str, function: Callable[..., None], panel: str) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name, cls=StrictCommand, rich_help_panel=panel)(function)
    return typer.main.get_command(alone)


def _broken(error: PluginError) -> Callable[[], None]:
    def command() -> None:
        raise error

    command.__doc__ = f"Cannot be loaded: {error}"
    return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


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


for _panel, _functions in COMMANDS.items():
    for _function in _functions:
        _name = _function.__name__.removesuffix("_")
        app.command(_name, cls=StrictCommand, rich_help_panel=_panel)(_function)
app.add_typer(plugin.app, name="plugin", rich_help_panel=MATERIAL)
