"""The output of ``--dry-run``."""

from __future__ import annotations

import json

from rich import box
from rich.markup import escape
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
        forecast = foresee(config, load_registry(), listener)
    problem = f"{config.dataset} / {config.disease}"
    run = f"{config.optimizer} on {config.encoder}, {problem}, seed {config.seed}"
    words = "nothing was sent to a service, and no run was started"
    _print(Total((forecast,)), as_json, words, run)


def print_suite_forecast(suite: Suite, as_json: bool) -> None:
    """Prints what all runs of a suite will send, cost and take."""
    with ConsoleListener() as listener:
        forecasts = foresee_all(suite.configs, load_registry(), listener)
    words = (
        "what runs share is counted for each of them; runs that are done are counted, too; the time is "
        "that of one run after the other"
    )
    _print(Total(tuple(forecasts)), as_json, words)


def _print(total: Total, as_json: bool, words: str, run: str = "") -> None:
    if as_json:
        print(json.dumps(total.as_dict(), allow_nan=False))
        return
    output_console().print(_table(total, run))
    output_console().print(f"[dim]{words}[/]")


def _table(total: Total, run: str) -> Table:
    """Images, requests, cost, time and disk; without retries, and otherwise at most."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="left")
    if run:
        table.add_row("run", escape(run))
    if len(total.forecasts) > 1:
        table.add_row("runs", f"{len(total.forecasts):,}")
    check = f", to check the service about {total.check:,}" if total.check else ""
    table.add_row(
        "images",
        f"setup {total.setup:,}, optimize at most {total.optimize:,}, score at most {total.score:,}"
        f"{check}: at most {total.images:,}",
    )
    if total.calls is not None:
        table.add_row("encoder calls", f"about {total.calls:,}")
    if total.rented:
        told = "the service tells how many images go into one"
        table.add_row("requests", told if total.requests is None else f"about {total.requests:,}")
        cost = "not known; give a price: --set encoder.price=0.001"
        if total.cost is not None:
            cost = f"at most {total.cost:,.2f}, without retries"
        table.add_row("cost", cost)
    measured = "not measured: nothing is sent to a service"
    if total.seconds is not None:
        where = "local encoders" if total.rented else "the encoder"
        measured = (
            f"about {_duration(total.seconds)} in {where}, if this machine stays as busy as it was "
            "for a few images"
        )
    table.add_row("time", measured)
    table.add_row("disk", f"about {total.disk / 1e6:,.1f} MB")
    return table


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"
