"""The output of ``--dry-run``."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from zobench.config import RunConfig
from zobench.registry.discovery import load_registry
from zobench.runs.forecast import Forecast, foresee
from zobench.suite.file import Suite
from zobench.suite.forecast import foresee_all, total

from .console import ConsoleListener, output_console


def print_forecast(config: RunConfig, as_json: bool) -> None:
    """Prints what a run will send, cost and take."""
    with ConsoleListener() as listener:
        found = foresee(config, load_registry(), listener)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    output_console().print(forecast_table(found))
    output_console().print("[dim]nothing was sent to a service, and no run was started[/]")


def print_suite_forecast(suite: Suite, as_json: bool) -> None:
    """Prints what all runs of a suite will send, cost and take."""
    with ConsoleListener() as listener:
        found = foresee_all(suite.configs, load_registry(), listener)
    together = total(found)
    if as_json:
        print(json.dumps({**together.as_dict(), "runs": len(found)}, allow_nan=False))
        return
    output_console().print(forecast_table(together, len(found)))
    output_console().print(
        "[dim]what runs share is counted for each of them; runs that are done are counted, too[/]"
    )


def forecast_table(found: Forecast, runs: int = 1) -> Table:
    """Images, requests, cost, time and disk; all at most, for so many runs together."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="left")
    if runs > 1:
        table.add_row("runs", f"{runs:,}")
    table.add_row(
        "images",
        f"setup {found.setup:,}, optimize at most {found.optimize:,}, score at most {found.score:,}: at "
        f"most {found.images:,}",
    )
    what = "requests" if found.rented else "encoder calls"
    told = "the service tells how many images go into one"
    table.add_row(what, told if found.requests is None else f"about {found.requests:,}")
    if found.rented:
        known = found.cost is not None
        table.add_row(
            "cost",
            f"at most {found.cost:,.2f}, at {found.price:g} an image"
            if known
            else "not known; give a price: --set encoder.price=0.001",
        )
    table.add_row(
        "time",
        "not measured: nothing is sent to a service"
        if found.seconds is None
        else f"at most {_duration(found.seconds)} in the encoder, from a few images on this machine",
    )
    table.add_row("disk", f"about {found.disk / 1e6:,.1f} MB")
    return table


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"
