"""The output for one run: tables of scores, ledger and bill, and the paths of its files."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zobench.billing.bill import Bill, Usage
from zobench.contracts.metric import Metric
from zobench.contracts.purpose import SENT_PURPOSES, Purpose
from zobench.contracts.run_status import RunStatus
from zobench.measures.interval import Interval
from zobench.measures.recovery import RECOVERY
from zobench.records.layout import EDIT, EDIT_PICTURE, IMAGES_PICTURE
from zobench.records.results import Results
from zobench.records.score_rows import Score
from zobench.records.stored_run import StoredRun
from zobench.records.views import ERM, Row
from zobench.records.views import rows as rows_of

from .console import output_console
from .layouts import widest_fitting

LITTLE = 0.5
"""Smallest share of 8-bit pixels that an edit must change to avoid a warning."""
LARGE = 0.5
"""Largest root mean square of an edit, in pixel range, without a warning."""
LOST = "*"
"""Marks a recovery that counts as 0 because accuracy fell by more than the tolerance."""
BARS = "▁▂▃▄▅▆▇█"
SECONDARY = ("objective", "SA refit", "norm")
"""Headings of the columns beside the metrics that a narrow terminal leaves out."""


def print_result(result: StoredRun, as_json: bool, console: Console | None = None) -> None:
    """Prints the result of a run, as tables or as one JSON object."""
    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
        return
    console = console or output_console()
    _print_heading(result, console)
    if result.scores:
        _print_scores(result, console)
        console.print(f"[bold]{escape(result.verdict.text)}[/]\n", soft_wrap=False)
        _print_size(result, console)
        _print_sent(result.scores[-1], console)
        _print_curve(result, console)
    console.print(_ledger_table(result))
    _print_left(result, console)
    if result.bill is not None:
        _print_bill(result.bill, console)
    if result.wall_seconds:  # written when a process ends, unless it is killed
        console.print(
            f"wall time {result.wall_seconds:.1f} s, of which {result.encoder_seconds:.1f} s in the "
            "encoder"
        )
    folder = escape(shlex.quote(str(result.location)))
    console.print(f"run folder: {folder}", soft_wrap=True)
    if result.done:
        if result.scores[-1].norm:
            names = ", ".join((EDIT, EDIT_PICTURE, IMAGES_PICTURE))
            console.print(f"  {names}: the noise, where it is strong, images with it")
        console.print(f"look again: [bold]zobench show {folder}[/]", soft_wrap=True)
    elif not result.manifest.resumable:
        console.print(
            "this run cannot go on: the model of its service has changed; start a new run"
        )
    else:
        gone = "if no process works on it, " if result.status is RunStatus.RUNNING else ""
        console.print(f"{gone}go on with: [bold]zobench resume {folder}[/]", soft_wrap=True)


def _print_heading(result: StoredRun, console: Console) -> None:
    config, manifest = result.config, result.manifest
    encoder, split, groups = manifest.encoder, manifest.split, manifest.dataset.groups
    console.print()
    console.print(
        f"[bold]{escape(config.optimizer)}[/] ({manifest.feedback} feedback, {config.space} space) "
        f"on [bold]{escape(config.encoder)}[/], {escape(config.dataset)} / {escape(config.disease)}, "
        f"seed {config.seed}{'' if result.done else f', status {result.status}'}"
    )
    console.print(
        f"{escape(split.described(groups))}, {split.test:,} balanced test images of "
        f"{split.test_patients:,} patients; {config.heads} heads"
    )
    if manifest.ended_by in ("max_cost", "max_time", "until"):
        limit = f"{manifest.ended_by} {getattr(config, manifest.ended_by):g}"
        console.print(
            f"[bold yellow]note:[/] {limit} ended the optimizer after {result.spent:,} of "
            f"{config.budget:,} queries"
        )
    if manifest.extended:
        ends = ", ".join(f"{extension['queries']:,}" for extension in manifest.extended)
        console.print(
            f"[bold yellow]note:[/] extended after {ends} queries, when its scores were known: "
            "where they decided how far to go, compare it with no other run"
        )
    if manifest.error is not None:
        console.print(f"[bold red]error:[/] {escape(manifest.error)}", soft_wrap=True)
    for note in (*manifest.dataset.notes, *encoder.notes):
        console.print(f"[bold yellow]note:[/] {escape(note)}")


def _print_scores(result: StoredRun, console: Console) -> None:
    """Prints the widest layout that fits, so that nothing is cut."""
    layouts = [_score_table(result, stacked, short) for stacked, short in LAYOUTS]
    chosen = widest_fitting(layouts, console)
    console.print(layouts[chosen])
    if any(row.score.accuracy_lost for row in rows_of(result)):
        console.print(
            f"[dim]{LOST} counts as 0: accuracy fell by more than the tolerance of "
            f"{result.config.tolerance:g}[/]"
        )
    if LAYOUTS[chosen][1]:
        left_out = ", ".join(_left_out(result.metrics))
        console.print(
            "[dim]first column: what it knows, and queries; a wider terminal, or --json, shows "
            f"{escape(left_out)}[/]"
        )


LAYOUTS = ((False, False), (True, False), (True, True))
"""Pairs (stacked, short): intervals below their values, and only the important columns."""


def _score_table(result: StoredRun, stacked: bool, short: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "percent, with 95 % intervals over patients"
    table.title += "" if short else "; objective: the lower the better"
    metrics = [metric for metric in result.metrics if metric.in_tables]
    rows = [_cells(row, metrics, stacked, short) for row in rows_of(result)]
    shown = [metric.heading for metric in metrics]
    headings = ["", "queries", "objective", *shown, "SA refit", "norm", RECOVERY.heading]
    left_out = (
        [*_left_out(metrics), "queries"] if short else []
    )  # the queries are in the first column
    kept = [place for place, heading in enumerate(headings) if heading not in left_out]
    for number in kept:
        table.add_column(
            escape(headings[number]), justify="right" if number else "left", no_wrap=not short
        )
    for row in rows:
        table.add_row(*(row[number] for number in kept))
    return table


def _left_out(metrics: Sequence[Metric]) -> list[str]:
    """Headings of the columns that a narrow terminal leaves out."""
    wide = [
        metric.heading for metric in metrics if metric.in_tables and not metric.in_narrow_tables
    ]
    objective, *others = SECONDARY
    return [objective, *wide, *others]


def _cells(row: Row, metrics: Sequence[Metric], stacked: bool, short: bool) -> list[str]:
    gap, score = "\n" if stacked else " ", row.score
    spent = f", {score.queries:,}" if short and score.queries else ""
    label = f"{escape(row.name)}{gap}[dim]{row.knows}{spent}[/]"
    edit = score if isinstance(score, Score) else None
    cells = [label, f"{score.queries:,}", "" if edit is None else f"{edit.objective:.3f}"]
    cells += [_interval(score.metrics[metric.name], gap, metric.digits()) for metric in metrics]
    cells += ["", ""] if edit is None else [f"{edit.sa_refitted:.1f}", f"{edit.norm:.2f}"]
    mark = LOST if score.accuracy_lost else ""
    return [*cells, "" if row.name == ERM else _share(score.recovery, mark + gap)]


def _interval(estimate: Interval, gap: str, digits: int) -> str:
    value, low, high = (
        _number(number, digits) for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{gap}\\[{low}, {high}]"


def _number(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else str(value)


def _share(estimate: Interval, gap: str = " ") -> str:
    return _interval(estimate, gap, RECOVERY.digits())


def _ledger_table(result: StoredRun) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "ledger, in images"
    table.add_column("")
    headings = ("queries", "forward", "backward", "evaluations", "requests")
    for heading in headings:  # the requests to a service are in its bill
        table.add_column({"requests": "encoder calls"}.get(heading, heading), justify="right")
    local = [Purpose.LOCAL] if Purpose.LOCAL in result.ledger else []
    for purpose in (*SENT_PURPOSES, *local):
        counts = result.ledger.get(purpose, {})
        limit = f" (of {result.config.budget:,})" if purpose is Purpose.OPTIMIZE else ""
        name = f"{purpose}{limit}"
        table.add_row(name, *[f"{counts.get(heading, 0):,}" for heading in headings])
    return table


def _print_left(result: StoredRun, console: Console) -> None:
    """Prints what is left of the budget, and what the optimizer last asked for at once."""
    left = result.config.budget - result.spent
    if not result.done or not left or result.manifest.ended_by != "budget" or not result.trace:
        return
    spent = [0, *(row["queries"] for row in result.trace)]
    console.print(
        f"{left:,} of {result.config.budget:,} queries are left, too few for one more batch; the last "
        f"one took {spent[-1] - spent[-2]:,}\n"
    )


def _print_size(result: StoredRun, console: Console) -> None:
    """Warns where an edit is so large that little of an image is left."""
    last, (_, height, width) = result.scores[-1], result.manifest.encoder.image_shape
    size = last.norm / math.sqrt(height * width)
    if size > LARGE:
        console.print(
            f"[bold yellow]note:[/] the last edit's root mean square is {size:,.1f} times the whole "
            "range of a pixel, so hardly anything of an image is left; try shorter steps"
        )


def _print_curve(result: StoredRun, console: Console) -> None:
    """Prints FPQ and the curve, what the last edit costs, and whether it is more than a placebo."""
    results = result.results
    if results is None or len(results.scores) < 2:
        return
    if result.fpq is not None:
        console.print(
            f"[bold]fairness per query (FPQ): {_share(result.fpq)}[/]   "
            "1 = the whole gap removed at once, 0 = nothing"
        )
        count, scored = len(results.queries), len(results.scores) - 1
        edits = f"{scored} edit{'' if scored == 1 else 's'} scored"
        snapshots = f"{count} snapshot{'' if count == 1 else 's'}"
        console.print(f"recovery, 0 to 1, at {snapshots}: {_curve(results)}  ({edits})")
    last = results.scores[-1]
    change = _interval(last.accuracy_change, " ", 1)
    console.print(
        f"the last edit: gap recovery {_share(last.gap_recovery)}, accuracy {change} points"
    )
    if last.why_zero:
        console.print(f"  its recovery is 0: {last.why_zero}")
    if last.fidelity.psnr is not None:
        console.print(
            f"  fidelity of the films: PSNR {last.fidelity.psnr:.1f} dB, SSIM {last.fidelity.ssim:.3f}"
        )
    if results.beyond_placebo is not None:
        console.print(
            f"[bold]beyond placebo: {_share(results.beyond_placebo)}[/]   recovery minus that of "
            "random phases with the edit's spectrum and norm"
        )


def _curve(results: Results) -> str:
    """The recovery of each snapshot as a bar; below 0 and 0 are the lowest bar."""
    recoveries = results.curve.recovery[1:, 0]
    return "".join(
        BARS[min(len(BARS) - 1, max(0, int(recovery * len(BARS))))] for recovery in recoveries
    )


def _print_sent(last: Score, console: Console) -> None:
    """Prints how 8-bit transport changed the last edit."""
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
    asked = [row for row in bill.usage.items() if row != (Purpose.LOCAL, Usage())]
    rows: list[tuple[str, Usage]] = [*asked, ("total", bill.total())]
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
