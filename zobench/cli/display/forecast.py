"""The output of ``--dry-run``."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from zobench.config import RunConfig
from zobench.registry.discovery import load_registry
from zobench.runs.forecast import foresee
from zobench.suite.file import Suite
from zobench.suite.forecast import Total, foresee_all

from .console import output_console
from .progress import ConsoleListener


def print_forecast(config: RunConfig, as_json: bool) -> None:
    """Prints what a run will send, cost and take."""
    with ConsoleListener() as listener:
        found = foresee(config, load_registry(), listener)
    _print(Total((found,)), as_json, "nothing was sent to a service, and no run was started")


def print_suite_forecast(suite: Suite, as_json: bool) -> None:
    """Prints what all runs of a suite will send, cost and take."""
    with ConsoleListener() as listener:
        found = foresee_all(suite.configs, load_registry(), listener)
    words = (
        "what runs share is counted for each of them; runs that are done are counted, too; the time is "
        "that of one run after the other"
    )
    _print(Total(tuple(found)), as_json, words)


def _print(found: Total, as_json: bool, words: str) -> None:
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    output_console().print(_table(found))
    output_console().print(f"[dim]{words}[/]")


def _table(found: Total) -> Table:
    """Images, requests, cost, time and disk; without retries, and otherwise at most."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="left")
    if len(found.forecasts) > 1:
        table.add_row("runs", f"{len(found.forecasts):,}")
    check = f", to check the service about {found.check:,}" if found.check else ""
    table.add_row(
        "images",
        f"setup {found.setup:,}, optimize at most {found.optimize:,}, score at most {found.score:,}"
        f"{check}: at most {found.images:,}",
    )
    if found.calls is not None:
        table.add_row("encoder calls", f"about {found.calls:,}")
    if found.rented:
        told = "the service tells how many images go into one"
        table.add_row("requests", told if found.requests is None else f"about {found.requests:,}")
        cost = "not known; give a price: --set encoder.price=0.001"
        if found.cost is not None:
            cost = f"at most {found.cost:,.2f}, without retries"
        table.add_row("cost", cost)
    measured = "not measured: nothing is sent to a service"
    if found.seconds is not None:
        where = "local encoders" if found.rented else "the encoder"
        measured = (
            f"about {_duration(found.seconds)} in {where}, if this machine stays as busy as it was "
            "for a few images"
        )
    table.add_row("time", measured)
    table.add_row("disk", f"about {found.disk / 1e6:,.1f} MB")
    return table


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"
