"""A run as a table: ERM, the snapshots, the ledger, and where to look further."""

from __future__ import annotations

import math
import shlex

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.billing.bill import Bill, Usage
from zobench.measures.resampling import Estimate, Score
from zobench.oracle.ledger import PURPOSES
from zobench.records.result import RunResult
from zobench.records.urls.copies import named

from .layouts import widest_fitting

COLUMNS = (
    ("eo_n", "EO_n"),
    ("eo_p", "EO_p"),
    ("di_gap_tpr", "|1-DI| tpr"),
    ("accuracy", "accuracy"),
)
LITTLE = 0.5
"""Share of changed pixels below which an edit is mostly lost on the way."""
IMPORTANT = ("", "queries", "EO_n", "EO_p", "accuracy", "recovery")


def print_result(result: RunResult, console: Console) -> None:
    """Prints everything that a run found."""
    _print_heading(result, console)
    if result.scores:
        _print_scores(result, console)
        _print_sent(result.scores[-1], console)
    if result.fpq is not None:
        console.print(
            f"[bold]fairness per query (FPQ): {_share(result.fpq)}[/]   "
            "1 = the whole gap removed at once, 0 = nothing"
        )
    console.print(_ledger_table(result))
    if result.bill is not None:
        _print_bill(result.bill, console)
    console.print(
        f"wall time {result.wall_seconds:.1f} s, of which {result.encoder_seconds:.1f} s in the encoder"
    )
    folder = escape(shlex.quote(named(str(result.run_dir))))
    console.print(f"run folder: {folder}", soft_wrap=True)
    if result.status == "done":
        console.print(
            "  edit.npy, edit.png, before-after.png: the noise, where it is strong, images with it"
        )
        console.print(f"look again: [bold]zobench show {folder}[/]", soft_wrap=True)
    else:
        console.print(f"go on with: [bold]zobench resume {folder}[/]", soft_wrap=True)


def _print_heading(result: RunResult, console: Console) -> None:
    config, manifest = result.config, result.manifest
    encoder, split = manifest["encoder"], manifest["split"]
    console.print()
    console.print(
        f"[bold]{escape(config.optimizer)}[/] ({manifest['feedback']} feedback, {config.space} space) "
        f"on [bold]{escape(config.encoder)}[/], {escape(config.dataset)} / {escape(config.disease)}, "
        f"seed {config.seed}, status {result.status}"
    )
    groups = manifest["dataset"]["groups"]
    rates = split["train_positive_rate"]
    console.print(
        f"{split['train']:,} training images ({rates[0]:.0%} of {groups[0]} and {rates[1]:.0%} of "
        f"{groups[1]} positive), {split['test']:,} balanced test images of "
        f"{split['test_patients']:,} patients; {config.heads} heads"
    )
    if manifest.get("ended_by") == "max_cost":
        spent = result.ledger["optimize"]["queries"]
        console.print(
            f"[bold yellow]note:[/] max_cost {config.max_cost:g} ended the optimizer after {spent:,} of "
            f"{config.budget:,} queries"
        )
    for note in encoder["notes"]:
        console.print(f"[bold yellow]note:[/] {escape(note)}")


def _print_scores(result: RunResult, console: Console) -> None:
    """The widest layout that fits: nothing is cut, and whose row it is never gets lost."""
    layouts = [_score_table(result, stacked, short) for stacked, short in LAYOUTS]
    chosen = widest_fitting(layouts, console)
    console.print(layouts[chosen])
    if LAYOUTS[chosen][1]:
        console.print(
            "[dim]a wider terminal, or --json, shows objective, |1-DI|, SA refit, norm[/]"
        )


LAYOUTS = ((False, False), (True, False), (True, True))
"""Whether intervals stand below their values, and whether only the most important columns are there."""


def _score_table(result: RunResult, stacked: bool, short: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "percent, with 95 % intervals over patients"
    rows = [_row(score, index == 0, stacked) for index, score in enumerate(result.scores)]
    headings = [
        "",
        "queries",
        "objective",
        *(heading for _, heading in COLUMNS),
        "SA refit",
        "norm",
        "recovery",
    ]
    kept = [number for number, heading in enumerate(headings) if not short or heading in IMPORTANT]
    for number in kept:
        table.add_column(headings[number], justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[number] for number in kept))
    return table


def _row(score: Score, erm: bool, stacked: bool) -> list[str]:
    gap = "\n" if stacked else " "
    cells = ["ERM" if erm else "edit", f"{score.queries:,}", f"{score.objective:.3f}"]
    cells += [_percent(score.metrics[name], gap) for name, _ in COLUMNS]
    cells += [f"{score.sa_refitted:.1f}", f"{score.norm:.2f}"]
    return [*cells, "" if erm else _share(score.recovery, gap)]


def _percent(estimate: Estimate, gap: str) -> str:
    return f"{_number(estimate.value)}{gap}\\[{_number(estimate.low)}, {_number(estimate.high)}]"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else str(value)


def _share(estimate: Estimate, gap: str = " ") -> str:
    return f"{estimate.value:.2f}{gap}\\[{estimate.low:.2f}, {estimate.high:.2f}]"


def _ledger_table(result: RunResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "ledger, in images"
    table.add_column("")
    headings = ("queries", "forward", "backward", "evaluations", "requests")
    for heading in headings:  # those of a service are in its bill
        table.add_column({"requests": "encoder calls"}.get(heading, heading), justify="right")
    for purpose in PURPOSES:
        counts = result.ledger.get(purpose, {})
        name = f"{purpose} (of {result.config.budget:,})" if purpose == "optimize" else purpose
        table.add_row(name, *[f"{counts.get(heading, 0):,}" for heading in headings])
    return table


def _print_sent(last: Score, console: Console) -> None:
    """What 8-bit transport did to the last edit."""
    if last.sent is not None:
        mark = "[bold yellow]note:[/] " if last.sent.changed < LITTLE else ""
        console.print(
            f"{mark}sent as 8-bit pixels, the last edit changes {last.sent.changed:.0%} of them; what "
            f"arrives differs from it by {last.sent.distortion:.0%} of its size (root mean square)"
        )


def _print_bill(bill: Bill, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "bill of the service, in images; check: what the encoder asked on its own"
    table.add_column("")
    for heading in ("requests", "retries", "sent", "billed", "maybe billed", "MB out", "MB in"):
        table.add_column(heading, justify="right")
    rows: list[tuple[str, Usage]] = [*bill.usage.items(), ("total", bill.total())]
    for name, usage in rows:
        counts = [usage.requests, usage.retries, usage.images_sent]
        counts += [usage.images_billed, usage.images_maybe_billed]
        sizes = [f"{size / 1e6:,.1f}" for size in (usage.bytes_sent, usage.bytes_received)]
        table.add_row(name, *[f"{count:,}" for count in counts], *sizes)
    console.print(table)
    if bill.price:
        costs = bill.as_dict()
        console.print(
            f"cost at {bill.price:g} an image: [bold]{costs['cost']:,.2f}[/]"
            f", at most {costs['cost_at_most']:,.2f}"
        )
