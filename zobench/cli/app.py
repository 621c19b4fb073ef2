"""All commands, in the order of the help; a command imports its modules only when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from zobench.errors import ConfigError, PluginError

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
COMMANDS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    ONE_RUN: {
        "run": run.run,
        "resume": resume.resume,
        "show": show.show,
        "verify": verify.verify,
        "replay": replay.replay,
    },
    MANY_RUNS: {
        "suite": suite.suite,
        "report": report.report,
        "compare": compare.compare,
        "gate": gate.gate,
    },
    MATERIAL: {
        "list": list_command.list_,
        "probe": probe.probe,
        "pretrain": pretrain.pretrain,
        "doctor": doctor.doctor,
        "serve": serve.serve,
        "plugin": plugin.app,
    },
}
"""The built-in commands by panel of the help and name."""


class Commands(TyperGroup):
    """All commands; the help shows stubs, and the one that is typed is built with its options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._broken_plugins: list[str] = []
        self._sources = {
            name: (source, panel)
            for panel, named in COMMANDS.items()
            for name, source in named.items()
        }
        self.commands.update(
            (name, _described(name, _help(source), panel))
            for name, (source, panel) in self._sources.items()
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses what stands before the command.

        Raises:
            ConfigError: An option of a command stands before it.
        """
        first = args[0] if args and not ctx.resilient_parsing else ""
        named = next((word for word in args[1:] if word in self._sources), "")
        if named and first.startswith("--") and first.partition("=")[0] in self._options_of(named):
            raise ConfigError(
                f"{first} stands before the command; its options stand behind it: "
                f"zobench {named} {first} ..."
            )
        return super().parse_args(ctx, args)

    def owners(self, option: str) -> list[str]:
        """The built-in commands that have an option, such as ``--jobs``."""
        return [name for name in self._sources if option in self._options_of(name)]

    def _options_of(self, name: str) -> set[str]:
        """The options of a built-in command, but for those that the program has itself."""
        own = {"--help", *(option for param in self.params for option in param.opts)}
        params = _built(name, *self._sources[name]).params
        return {option for param in params for option in param.opts} - own

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help: those of plugins after the commands on many runs."""
        names = list(self._sources)
        place = names.index(list(COMMANDS[MANY_RUNS])[-1]) + 1
        return [*names[:place], *self._offers, *names[place:]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name, without its options; ``None`` if there is none."""
        if cmd_name in self.commands or cmd_name not in self._offers:
            return self.commands.get(cmd_name)
        plugin = self._offers[cmd_name].plugin
        return _described(cmd_name, _sentence(plugin.summary), plugin.label or MANY_RUNS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is typed, with its options."""
        if args[0] not in self.commands:  # near misses are looked for in these
            self.commands.update((name, self.get_command(ctx, name)) for name in self._offers)
        if args[0] not in self.commands:  # it may be one of these
            from .display.console import note

            for sentence in self._broken_plugins:
                note(sentence)
        name, command, rest = super().resolve_command(ctx, args)
        if name in self._sources:
            command = _built(name, *self._sources[name])
        elif name is not None:
            command = _command(self._offers[name])
        return name, command, rest

    @cached_property
    def _offers(self) -> Mapping[str, Offer]:
        """Commands of plugins, without those of a broken plugin."""
        from zobench.registry.discovery import load_registry

        try:
            offers = load_registry(note=self._broken_plugins.append).offers["commands"]
        except PluginError:  # a name is registered twice
            return {}
        for offer in offers.values():
            if offer.name in self._sources:
                raise PluginError(
                    f"the command {offer.name!r} of distribution {offer.distribution!r} has the name "
                    "of a built-in command; rename it, or uninstall that distribution"
                )
        return offers


def _sentence(summary: str) -> str | None:
    """The summary of a plugin as a sentence of the help, which reads markup; ``None`` if empty."""
    said = summary.strip()
    stop = "." if said[-1:].isalnum() or said[-1:] in (")", "]") else ""
    return escape(f"{said[:1].upper()}{said[1:]}{stop}") or None


def _help(source: Callable[..., None] | typer.Typer) -> str | None:
    return source.info.help if isinstance(source, typer.Typer) else inspect.getdoc(source)


def _described(name: str, said: str | None, panel: str) -> TyperCommand:
    """A command that only says what it does."""
    return TyperCommand(name, help=said, rich_help_panel=panel)


def _built(name: str, source: Callable[..., None] | typer.Typer, panel: str) -> Any:
    """A command with its options, read from its function's annotations."""
    if isinstance(source, typer.Typer):
        return typer.main.get_command(source)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name, cls=StrictCommand, rich_help_panel=panel)(source)
    return typer.main.get_command(alone)


def _command(offer: Offer) -> Any:
    """The command of a plugin; one that cannot be loaded says why."""
    name, panel = offer.name, offer.plugin.label or MANY_RUNS
    try:
        return _built(name, offer.plugin.load(), panel)
    except PluginError as error:
        said = f"distribution {offer.distribution!r}: {error}"
    except Exception as error:  # no function, or annotations that typer cannot read
        said = f"distribution {offer.distribution!r}: {type(error).__name__}: {error}"
    return _built(name, _broken(PluginError(said)), panel)


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
