"""``zobench plugin``: write a new plugin project, and check a plugin's contract."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zobench.contracts.parameters import nearest

from .strict import StrictCommand

if TYPE_CHECKING:
    from rich.console import Console

    from zobench.registry.discovery import Kind, Registry
    from zobench.registry.plugin import Plugin

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Write a plugin of your own, and check it."
)


@app.command(cls=StrictCommand)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="E.g. random-walk.")],
    kind: Annotated[
        str,
        typer.Option(help="optimizer, encoder, dataset, method, objective or metric."),
    ] = "optimizer",
    out: Annotated[Path, typer.Option(help="Parent folder of the project.")] = Path(),
    feedback: Annotated[
        str, typer.Option(help="What an optimizer sees: value or embeddings.")
    ] = "value",
) -> None:
    """Write a complete small project: a plugin that works, its tests, README and CI."""
    from zobench.errors import ConfigError
    from zobench.registry.discovery import KINDS, load_registry

    from .display.console import output_console
    from .scaffold import EXAMPLES, registered_name, write_project

    listed = next((plural for plural in KINDS if plural == f"{kind}s"), None)
    registered = registered_name(name, kind)
    taken = load_registry().offers[listed].get(registered) if listed else None
    if taken is not None:
        raise ConfigError(
            f"{registered!r} is registered by {taken.distribution} as {kind}; choose another name"
        )
    folder = write_project(name, out, feedback, kind)
    console = output_console()
    console.print(f"wrote {folder}; next:", soft_wrap=True, markup=False)
    for line in (
        f"cd {folder}",
        "python -m pip install -e '.[test]'",
        f"zobench plugin check {registered}{EXAMPLES[kind].check}",
        "python -m pytest",
        EXAMPLES[kind].use.replace("$name", registered),
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)


@app.command(cls=StrictCommand)
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="A plugin, as listed; or a project's folder or a .py file, installed or not.",
        ),
    ],
    disease: Annotated[str, typer.Option(help="A finding of the dataset to check.")] = "",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset to check.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the plugin to check."),
    ] = None,
) -> None:
    """Check every requirement of a plugin and say how to fix errors; exit 1 if one fails."""
    from .display.console import output_console

    console = output_console()
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    base = what.partition(":")[0]  # the file of onnx:FILE is no project
    is_path = base.endswith((".py", *separators)) or any(
        separator in base for separator in separators
    )
    asked = Asked(disease, data_root, tuple(settings or ()))
    if what in (".", "..") or is_path or Path(what, "pyproject.toml").is_file():
        missed = _check_project(console, Path(what), asked)
    else:
        missed = _check_named(console, what, asked)
    if missed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Asked:
    """The options of ``zobench plugin check``.

    Attributes:
        disease: A finding of the dataset.
        root: Folder of the dataset.
        settings: Parameters of the plugin, as ``key=value``.
    """

    disease: str
    root: Path | None
    settings: tuple[str, ...]

    def of(self, kind: Kind, name: str) -> Mapping[str, Any]:
        """Attributes of the suite of a plugin.

        Raises:
            ConfigError: A dataset is checked without a disease, or a parameter has no value.
        """
        from zobench.errors import ConfigError

        attributes: dict[str, Any] = {}
        if self.settings:
            pairs = [setting.partition("=") for setting in self.settings]
            for key, equals, _ in pairs:
                if not equals:
                    raise ConfigError(f"--set {key} has no value; write --set KEY=VALUE")
            owner = f"{kind[:-1]}."
            attributes["overrides"] = {key.removeprefix(owner): value for key, _, value in pairs}
        if kind == "datasets":
            if not self.disease:
                raise ConfigError(
                    f"{name} is a dataset, so a check needs one of its findings: --disease NAME"
                )
            attributes |= {"disease": self.disease, "root": self.root}
        return attributes


def _check_project(console: Console, path: Path, asked: Asked) -> int:
    """Checks all plugins of a project that have a suite; the number of failed requirements."""
    from zobench.errors import ConfigError
    from zobench.registry.discovery import load_registry
    from zobench.testing.checking import SUITES
    from zobench.testing.projects import as_if_installed

    with as_if_installed(path) as distribution:
        registry = load_registry()
        mine = [
            (kind, offer)
            for kind in SUITES
            for offer in registry.offers[kind].values()
            if offer.distribution == distribution
        ]
        if not mine:
            kinds = ", ".join(kind[:-1] for kind in SUITES)
            raise ConfigError(
                f"{path} offers no plugin that has checks ({kinds}); see zobench plugin new"
            )
        for _, offer in mine:
            if not _example(offer.plugin) and not offer.plugin.takes(""):
                raise ConfigError(
                    f"{offer.name} is a family, so there is no telling what to check; install it and "
                    f"check members by name: zobench plugin check {offer.name}:<{offer.plugin.argument}>"
                )
        names = [f"{offer.name}{_example(offer.plugin)}" for _, offer in mine]
        pairs = zip(mine, names, strict=True)
        return sum(_check_one(console, kind, name, asked, registry) for (kind, _), name in pairs)


def _example(plugin: Plugin) -> str:
    """What follows the name of a plugin that is checked: a simple optimizer, or the default encoder."""
    from zobench.config import RunConfig

    if plugin.wraps:
        return ":random"
    return f":{RunConfig.encoder}" if plugin.borrows else ""


def _check_named(console: Console, name: str, asked: Asked) -> int:
    """Checks the plugins of a name, of each kind that has one; the number of failed requirements."""
    from zobench.errors import ConfigError
    from zobench.registry.discovery import load_registry
    from zobench.testing.checking import SUITES

    registry = load_registry()
    base, colon, _ = name.partition(":")
    kinds = [kind for kind in SUITES if base in registry.offers[kind]]
    if len(kinds) > 1:  # dne is an objective, and dne:<optimizer> a method
        kinds = [
            suited for suited in kinds if registry.offers[suited][base].plugin.takes(colon)
        ] or kinds
    if not kinds:
        names = {*chain.from_iterable(registry.offers[kind] for kind in SUITES)}
        raise ConfigError(
            f"no plugin that has checks is called {name!r}{nearest(base, names)}; see zobench list"
        )
    return sum(_check_one(console, kind, name, asked) for kind in kinds)


def _check_one(
    console: Console, kind: Kind, name: str, asked: Asked, registry: Registry | None = None
) -> int:
    """Checks one plugin; the number of failed requirements."""
    from rich.markup import escape

    from zobench.testing import check as findings

    missed = 0
    for number, finding in enumerate(findings(name, registry, kind, asked.of(kind, name))):
        if number == 0:
            console.print(f"[bold]{escape(name)}[/] [dim]({kind[:-1]})[/]")
        missed += bool(finding.fault)
        mark = "[red]no [/]" if finding.fault else "[green]yes[/]"
        console.print(f"  {mark} {escape(finding.what)}")
        if finding.fault:
            fault = escape(finding.fault).replace("\n", "\n      ")
            console.print(f"      [red]{fault}[/]", soft_wrap=True)
        if finding.crashed:
            console.print("  the check stops here: nothing else can be told before this is mended")
            break
    if missed:
        console.print(f"{escape(name)} misses {missed} requirement{'s' * (missed > 1)}")
    else:
        console.print(f"{escape(name)} meets every requirement")
    return missed
