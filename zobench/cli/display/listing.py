"""The output of ``zobench list``: plugin names, plugin parameters and metric declarations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.contracts.parameters import UNSET, Declaration, declarations, nearest
from zobench.errors import ConfigError
from zobench.problem.spaces import SUMMARIES as SPACES
from zobench.registry.discovery import KINDS, Kind, Offer, Registry, load_registry
from zobench.registry.plugin import INNER
from zobench.suite.named_suites import named_suites, summary

from .console import output_console

LABELS: Mapping[Kind, str] = {
    "optimizers": "sees",
    "encoders": "where",
    "datasets": "images",
    "objectives": "value of",
    "methods": "needs",
    "trackers": "needs",
    "executors": "needs",
    "commands": "group",
}
"""Heading of the column of labels, by kind."""


def list_plugins(kind: str | None, name: str | None, as_json: bool, every: bool) -> None:
    """Prints all kinds, one kind, or the parameters of one plugin; ``every`` adds members."""
    if kind in ("space", "spaces"):
        _print_spaces(name, as_json)
        return
    if kind == "split":
        _print_split(name, as_json)
        return
    if kind in ("suite", "suites"):
        _print_suites(name, as_json)
        return
    registry = load_registry()
    kinds = (
        [_kind(kind, registry)]
        if kind is not None
        else [listed for listed in KINDS if registry.offers[listed]]
    )
    if name is not None:
        _print_one(registry, kinds[0], name, as_json)
        return
    if as_json:
        listing = {
            listed: {
                offer.name: {
                    "summary": _summary(registry, listed, offer),
                    "label": offer.plugin.label,
                    "argument": offer.plugin.argument,
                    "distribution": offer.distribution,
                    **({"members": offer.plugin.all_members()} if every else {}),
                }
                for offer in registry.offers[listed].values()
            }
            for listed in kinds
        }
        beside = {} if kind is not None else {**_spaces_dict(), "suites": _suites_dict()}
        print(json.dumps({**listing, **beside}))
        return
    console = output_console()
    for listed in kinds:
        _print_kind(console, registry, listed)
        if every:
            _print_members(console, listed, list(registry.offers[listed].values()))
    if kind is None:
        console.print(_spaces())
        console.print(_suites())
    console.print("[dim]parameters of one: zobench list KIND NAME[/]")


def _print_spaces(name: str | None, as_json: bool) -> None:
    if name is not None:
        raise ConfigError(f"a space has no parameters, but {name!r} was given after 'spaces'")
    if as_json:
        print(json.dumps(_spaces_dict()))
    else:
        output_console().print(_spaces())


def _print_split(name: str | None, as_json: bool) -> None:
    """Prints the parameters of the split; a split is not a plugin."""
    if name is not None:
        raise ConfigError(f"there is one kind of split, but {name!r} was given after 'split'")
    from zobench.problem.split import SplitParameters  # loads numpy

    summary = "train and test images: sizes and bias"
    facts = Facts("split", "split", summary, SplitParameters)
    _print_facts(facts, as_json)


def _print_suites(name: str | None, as_json: bool) -> None:
    """Prints the suites that come with zobench; a suite is not a plugin."""
    if name is not None:
        raise ConfigError(f"a suite's text is printed by zobench suite {name} --print")
    if as_json:
        print(json.dumps(_suites_dict()))
    else:
        output_console().print(_suites())


def _suites_dict() -> dict[str, str]:
    return {path.stem: summary(path) for path in named_suites().values()}


def _suites() -> Table:
    table = _table("suites", ("zobench suite …", "what it runs"))
    for stem, text in sorted(_suites_dict().items()):
        short, _, version = stem.rpartition("-")
        table.add_row(short, f"{text} (version {version})")
    return table


def _spaces_dict() -> dict[str, dict[str, dict[str, str]]]:
    return {"spaces": {name: {"summary": summary} for name, summary in SPACES.items()}}


def _spaces() -> Table:
    """The table of spaces; spaces are built in and not plugins."""
    table = _table("spaces", ("--space", "what a point is"))
    for name, text in SPACES.items():
        table.add_row(name, text)
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _kind(text: str, registry: Registry) -> Kind:
    for kind in KINDS:
        if text in (kind, kind[:-1]):
            return kind
    for kind in KINDS:
        if text.partition(":")[0] in registry.offers[kind]:
            raise ConfigError(
                f"{text!r} is no kind, but a name in one: zobench list {kind} {shlex.quote(text)}"
            )
    names = (*KINDS, "spaces", "split", "suites")
    raise ConfigError(f"{text!r} cannot be listed{nearest(text, names)}; known: {', '.join(names)}")


def _print_kind(console: Console, registry: Registry, kind: Kind) -> None:
    offers = registry.offers[kind].values()
    if not offers:
        console.print(f"[bold]{kind}[/]: none\n")
        return
    table = _table(kind, ("name", LABELS.get(kind, ""), "what it is", "from"))
    for offer in sorted(offers, key=lambda offer: offer.name):
        argument = f":<{offer.plugin.argument}>" if offer.plugin.argument else ""
        argument = argument if offer.plugin.argument_needed else f"[{argument}]"
        summary = _summary(registry, kind, offer)
        label = offer.plugin.label
        if offer.plugin.wraps:  # what is inside may see more
            label = f"\N{GREATER-THAN OR EQUAL TO} {label}"
        cells = (offer.name + argument, label, summary, offer.distribution)
        table.add_row(*map(escape, cells))
    console.print(table)


def _summary(registry: Registry, kind: Kind, offer: Offer) -> str:
    if kind != "metrics":
        return offer.plugin.summary
    return next(metric.summary for metric in registry.metrics if metric.name == offer.name)


def _print_members(console: Console, kind: Kind, offers: list[Offer]) -> None:
    """Prints the members of each family, and the total number."""
    total = 0
    for offer in sorted(offers, key=lambda offer: offer.name):
        members = offer.plugin.all_members()
        total += len(members) or (0 if offer.plugin.argument else 1)
        if members:
            console.print(f"[bold]{offer.name}:[/] {len(members)} {kind}")
            console.print(", ".join(members) + "\n", highlight=False, markup=False)
    console.print(f"{total} {kind} in all\n")


def _print_one(registry: Registry, kind: Kind, name: str, as_json: bool) -> None:
    base, colon, _ = name.partition(":")
    if colon or base not in registry.offers[kind]:
        registry.find(kind, name)  # says what is wrong with the name
    if kind == "metrics":
        _print_metric(registry, base, as_json)
        return
    if kind == "commands":
        summary = escape(registry.offers[kind][base].plugin.summary)
        output_console().print(f"[bold]{base}[/]: {summary}; see zobench {base} --help")
        return
    owner = {"pretrainings": "recipe", "methods": f"method.{base}"}.get(kind, kind[:-1])
    _print_facts(_facts(registry, kind, name, owner), as_json)


def _facts(registry: Registry, kind: Kind, name: str, owner: str) -> Facts:
    """The facts of a plugin, and of the plugin that it wraps if the name says which."""
    base, _, member = name.partition(":")
    plugin = registry.offers[kind][base].plugin
    members = plugin.all_members() if member else []
    if members and member not in members:
        raise ConfigError(
            f"{base} has no {plugin.argument} {member!r}{nearest(member, members)}; "
            f"all of them: zobench list {kind} --all"
        )
    if plugin.borrows and member:
        registry.find("encoders", member)  # says what is wrong with the name
    details, inner = plugin.all_details(member) if member else [], None
    if plugin.wraps and member:
        from zobench.runs.resolved import resolve_plugin  # load numpy
        from zobench.runs.search_parts import feedback_of

        registry.find(kind, member)  # says what is wrong with the name
        inner = _facts(registry, kind, member, f"{owner}.{INNER}")
        level = feedback_of(resolve_plugin("optimizer", name, {}, registry))
        details = [*details, (f"feedback level of {name}:", level)]
    return Facts(base, owner, plugin.summary, plugin.parameters(), plugin.source, details, inner)


@dataclass(frozen=True)
class Facts:
    """What the list says of one plugin.

    Attributes:
        name: The registered name.
        owner: The prefix of its parameters in ``--set``.
        summary: One line.
        parameters: The dataclass of its parameters.
        source: Where foreign code and weights come from.
        details: Facts about the argument that was given, as (name, text) pairs.
        inner: Those of the plugin that the argument names, for a plugin that wraps another.
    """

    name: str
    owner: str
    summary: str
    parameters: type
    source: str = ""
    details: Sequence[tuple[str, str]] = ()
    inner: Facts | None = None

    def as_dict(self) -> dict[str, object]:
        """The facts as a JSON object."""
        declared = declarations(self.parameters)
        rows = {k: {**asdict(v), "type": v.type.__name__} for k, v in declared.items()}
        shown = {"name": self.name, "summary": self.summary, "source": self.source}
        inner = {} if self.inner is None else {"inner": self.inner.as_dict()}
        return {**shown, "details": dict(self.details), "parameters": rows, **inner}


def _print_facts(facts: Facts, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts.as_dict()))
        return
    declared = declarations(facts.parameters)
    console = output_console()
    console.print(f"[bold]{facts.name}[/]: {escape(facts.summary)}")
    if facts.source:
        console.print(escape(facts.source))
    for name, text in facts.details:
        console.print(f"  {escape(name)}  [dim]{escape(text)}[/]", soft_wrap=True, highlight=False)
    if declared:
        console.print(_parameters(facts.owner, declared.values()))
    else:
        console.print("no parameters")
    if facts.inner is not None:
        _print_facts(facts.inner, as_json)


def _parameters(owner: str, declared: Iterable[Declaration]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("--set", "default", "must be", "what it does"):
        table.add_column(heading, overflow="fold")
    for declaration in declared:
        default = UNSET if declaration.default is None else str(declaration.default)
        words = (escape(text) for text in (default, declaration.rule, declaration.help))
        table.add_row(f"{owner}.{declaration.name}", *words)
    return table


def _print_metric(registry: Registry, name: str, as_json: bool) -> None:
    """The declaration of a metric."""
    metric = next(candidate for candidate in registry.metrics if candidate.name == name)
    facts = {
        "summary": metric.summary,
        "heading": metric.heading,
        "unit": metric.unit,
        "signed": metric.signed,
        "low": metric.low if isfinite(metric.low) else None,
        "high": metric.high if isfinite(metric.high) else None,
        "better": "higher" if metric.higher_is_better else "lower",
        "in_tables": metric.in_tables,
    }
    if as_json:
        print(json.dumps({"name": name, **facts}))
        return
    console = output_console()
    console.print(f"[bold]{name}[/]: {escape(metric.summary)}")
    for fact, value in list(facts.items())[1:]:
        console.print(f"  {fact:<10}{'no limit' if value is None else value}", markup=False)
