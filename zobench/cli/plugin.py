"""``zobench plugin``: write a new plugin project, and check an optimizer's contract."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .strict import StrictCommand

if TYPE_CHECKING:
    from rich.console import Console

    from zobench.registry.discovery import Registry

app = typer.Typer(no_args_is_help=True, help="Write an optimizer of your own, and check it.")


@app.command(cls=StrictCommand)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="E.g. random-walk.")],
    out: Annotated[Path, typer.Option(help="Parent folder of the project.")] = Path(),
    feedback: Annotated[
        str, typer.Option(help="What the optimizer sees: value or embeddings.")
    ] = "value",
) -> None:
    """Write a complete small project: an optimizer that works, its tests, README and CI."""
    from zobench.errors import ConfigError
    from zobench.registry.discovery import load_registry

    from .display.console import output_console
    from .scaffold import write_project

    taken = load_registry().offers["optimizers"].get(name)
    if taken is not None:
        raise ConfigError(f"{name!r} is an optimizer of {taken.distribution}; choose another name")
    folder = write_project(name, out, feedback)
    console = output_console()
    console.print(f"wrote {folder}; next:", soft_wrap=True)
    for line in (
        f"cd {folder}",
        "python -m pip install -e '.[test]'",
        f"zobench plugin check {name}",
        "python -m pytest",
        f"zobench run --optimizer {name}",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)


@app.command(cls=StrictCommand)
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="An optimizer, as listed; or a project's folder or a .py file, installed or not.",
        ),
    ],
) -> None:
    """Check every requirement of an optimizer and say how to fix errors; exit 1 if one fails."""
    from .display.console import output_console

    console = output_console()
    separators = [each for each in (os.sep, os.altsep) if each]
    is_path = what.endswith((".py", *separators)) or any(each in what for each in separators)
    if what in (".", "..") or is_path:
        missed = _check_project(console, Path(what))
    else:
        missed = _check_one(console, what)
    if missed:
        raise typer.Exit(1)


def _check_project(console: Console, path: Path) -> int:
    """Checks all optimizers of a project; the number of failed requirements."""
    from zobench.errors import ConfigError
    from zobench.registry.discovery import load_registry
    from zobench.testing.projects import as_if_installed

    with as_if_installed(path) as distribution:
        registry = load_registry()
        offers = registry.offers["optimizers"].values()
        mine = [each for each in offers if each.distribution == distribution]
        if not mine:
            raise ConfigError(f"{path} offers no optimizer; see zobench plugin new")
        for each in mine:
            if each.plugin.argument:
                raise ConfigError(
                    f"{each.name} is a family, so there is no telling what to check; install it and "
                    f"check members by name: zobench plugin check {each.name}:<{each.plugin.argument}>"
                )
        return sum(_check_one(console, each.name, registry) for each in mine)


def _check_one(console: Console, name: str, registry: Registry | None = None) -> int:
    """Checks one optimizer; the number of failed requirements."""
    from rich.markup import escape

    from zobench.testing import check as findings

    missed = 0
    for number, finding in enumerate(findings(name, registry)):
        if number == 0:
            console.print(f"[bold]{escape(name)}[/]")
        missed += bool(finding.fault)
        mark = "[red]no [/]" if finding.fault else "[green]yes[/]"
        console.print(f"  {mark} {finding.what}")
        if finding.fault:
            console.print(f"      [red]{escape(finding.fault)}[/]", soft_wrap=True)
    if missed:
        console.print(f"{name} misses {missed} requirement{'s' * (missed > 1)}")
    else:
        console.print(f"{name} meets every requirement")
    return missed
