"""A run as a table: ERM, the snapshots, the ledger, and where to look further."""

from __future__ import annotations

import math
import shlex

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..ledger import PURPOSES
from ..results import RunResult
from ..scoring import Estimate, Score

COLUMNS = (
    ("eo_n", "EO_n"),
    ("eo_p", "EO_p"),
    ("di_gap_tpr", "|1-DI| tpr"),
    ("accuracy", "accuracy"),
)


def print_result(result: RunResult, console: Console) -> None:
    """Prints everything that a run found."""
    _print_heading(result, console)
    if result.scores:
        console.print(_score_table(result))
    if result.fpq is not None:
        console.print(
            f"[bold]fairness per query (FPQ): {_share(result.fpq)}[/]   "
            "1 = the whole gap removed at once, 0 = nothing"
        )
    console.print(_ledger_table(result))
    console.print(
        f"wall time {result.wall_seconds:.1f} s, of which {result.encoder_seconds:.1f} s in the encoder"
    )
    folder = escape(shlex.quote(str(result.run_dir)))
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
    for note in encoder["notes"]:
        console.print(f"[bold yellow]note:[/] {escape(note)}")


def _score_table(result: RunResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "percent, with 95 % intervals over patients"
    table.add_column("")
    table.add_column("queries", justify="right")
    table.add_column("objective", justify="right")
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("SA refit", justify="right")
    table.add_column("norm", justify="right")
    table.add_column("recovery", justify="right", no_wrap=True)
    for index, score in enumerate(result.scores):
        table.add_row(*_row(score, index == 0))
    return table


def _row(score: Score, erm: bool) -> list[str]:
    cells = ["ERM" if erm else "edit", f"{score.queries:,}", f"{score.objective:.3f}"]
    cells += [_percent(score.metrics[name]) for name, _ in COLUMNS]
    cells += [f"{score.sa_refitted:.1f}", f"{score.norm:.2f}"]
    return [*cells, "" if erm else _share(score.recovery)]


def _percent(estimate: Estimate) -> str:
    return f"{_number(estimate.value)} \\[{_number(estimate.low)}, {_number(estimate.high)}]"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else str(value)


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} \\[{estimate.low:.2f}, {estimate.high:.2f}]"


def _ledger_table(result: RunResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = "ledger, in images"
    table.add_column("")
    headings = ("queries", "forward", "backward", "evaluations", "requests")
    for heading in headings:
        table.add_column(heading, justify="right")
    for purpose in PURPOSES:
        counts = result.ledger.get(purpose, {})
        name = f"{purpose} (of {result.config.budget:,})" if purpose == "optimize" else purpose
        table.add_row(name, *[f"{counts.get(heading, 0):,}" for heading in headings])
    return table
