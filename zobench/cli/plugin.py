"""``zobench plugin``: start one, and see whether it keeps its contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Write an optimizer of your own, and check it.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="E.g. random-walk.")],
    out: Annotated[Path, typer.Option(help="Where the project's folder is made.")] = Path(),
) -> None:
    """Write a complete small project: an optimizer that works, its tests, README and CI."""
    from .console import output_console
    from .scaffold import write_project

    folder = write_project(name, out)
    console = output_console()
    console.print(f"wrote {folder}; next:", soft_wrap=True)
    for line in (
        f"cd {folder}",
        "python -m pip install -e '.[test]'",
        f"zobench plugin check {name}",
        f"zobench run --optimizer {name}",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An optimizer, as listed.")],
) -> None:
    """Say which requirements an installed optimizer meets; exit 1 if it misses one."""
    from rich.markup import escape

    from ..testing import check as findings
    from .console import output_console

    console = output_console()
    missed = 0
    for finding in findings(name):
        missed += bool(finding.fault)
        mark = "[red]no [/]" if finding.fault else "[green]yes[/]"
        console.print(f"  {mark} {finding.what}")
        if finding.fault:
            console.print(f"      [red]{escape(finding.fault)}[/]", soft_wrap=True)
    if missed:
        console.print(f"{name} misses {missed} requirement{'s' * (missed > 1)}")
        raise typer.Exit(1)
    console.print(f"{name} meets every requirement")
