"""``zobench list``: names, what they are, and the parameters of one."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from zobench.contracts.parameters import declarations, nearest
from zobench.errors import ConfigError
from zobench.problem.spaces import SUMMARIES as SPACES
from zobench.registry.discovery import KINDS, Kind, Offer, Registry, load_registry

from .console import output_console


def list_plugins(kind: str | None, name: str | None, as_json: bool, every: bool) -> None:
    """Prints everything, one kind, or the parameters of one plugin; on demand families in full."""
    if kind in ("space", "spaces"):
        _print_spaces(name, as_json)
        return
    registry = load_registry()
    kinds = [_kind(kind)] if kind is not None else [each for each in KINDS if registry.offers[each]]
    if name is not None:
        _print_one(registry, kinds[0], name, as_json)
        return
    if as_json:
        found = {
            each: {
                offer.name: {
                    "summary": offer.plugin.summary,
                    "label": offer.plugin.label,
                    "argument": offer.plugin.argument,
                    "distribution": offer.distribution,
                    **({"members": offer.plugin.all_members()} if every else {}),
                }
                for offer in registry.offers[each].values()
            }
            for each in kinds
        }
        print(json.dumps(found if kind is not None else {**found, **_spaces_dict()}))
        return
    console = output_console()
    for each in kinds:
        _print_kind(console, each, list(registry.offers[each].values()))
        if every:
            _print_members(console, each, list(registry.offers[each].values()))
    if kind is None:
        console.print(_spaces())
    console.print("[dim]parameters of one: zobench list KIND NAME[/]")


def _print_spaces(name: str | None, as_json: bool) -> None:
    if name is not None:
        raise ConfigError(f"a space has no parameters, but {name!r} was given after 'spaces'")
    if as_json:
        print(json.dumps(_spaces_dict()))
    else:
        output_console().print(_spaces())


def _spaces_dict() -> dict[str, dict[str, dict[str, str]]]:
    return {"spaces": {name: {"summary": summary} for name, summary in SPACES.items()}}


def _spaces() -> Table:
    """Built in, not plugins; an optimizer may refuse one whose dimension it cannot hold."""
    table = _table("spaces", ("--space", "what a point is"))
    for name, summary in SPACES.items():
        table.add_row(name, summary)
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _kind(text: str) -> Kind:
    for kind in KINDS:
        if text in (kind, kind[:-1]):
            return kind
    known = (*KINDS, "spaces")
    raise ConfigError(f"{text!r} cannot be listed{nearest(text, known)}; known: {', '.join(known)}")


def _print_kind(console: Console, kind: Kind, offers: list[Offer]) -> None:
    if not offers:
        console.print(f"[bold]{kind}[/]: none\n")
        return
    table = _table(kind, ("name", "", "what it is", "from"))
    for offer in sorted(offers, key=lambda each: each.name):
        argument = f":<{offer.plugin.argument}>" if offer.plugin.argument else ""
        row = (offer.name + argument, offer.plugin.label, offer.plugin.summary, offer.distribution)
        table.add_row(*row)
    console.print(table)


def _print_members(console: Console, kind: Kind, offers: list[Offer]) -> None:
    """What may follow the colon of each family, and how many there are in all."""
    total = 0
    for offer in sorted(offers, key=lambda each: each.name):
        members = offer.plugin.all_members()
        total += len(members) or (0 if offer.plugin.argument else 1)
        if members:
            console.print(f"[bold]{offer.name}:[/] {len(members)} {kind}")
            console.print(", ".join(members) + "\n", highlight=False)
    console.print(f"{total} {kind} in all\n")


def _print_one(registry: Registry, kind: Kind, name: str, as_json: bool) -> None:
    base, colon, member = name.partition(":")
    if colon or base not in registry.offers[kind]:
        registry.find(kind, name)  # says what is wrong with the name
    offer = registry.offers[kind][base]
    members = offer.plugin.all_members() if member else []
    if members and member not in members:
        raise ConfigError(
            f"{base} has no {offer.plugin.argument} {member!r}{nearest(member, members)}; "
            f"all of them: zobench list {kind} --all"
        )
    declared = declarations(offer.plugin.parameters())
    if as_json:
        rows = {k: {**asdict(v), "type": v.type.__name__} for k, v in declared.items()}
        print(json.dumps({"name": base, "summary": offer.plugin.summary, "parameters": rows}))
        return
    console = output_console()
    console.print(f"[bold]{base}[/]: {offer.plugin.summary}")
    if not declared:
        console.print("no parameters")
        return
    owner = {"pretrainings": "recipe", "methods": f"method.{base}"}.get(kind, kind[:-1])
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("--set", "default", "must be", "what it does"):
        table.add_column(heading, overflow="fold")
    for each in declared.values():
        table.add_row(f"{owner}.{each.name}", str(each.default), each.rule, each.help)
    console.print(table)
