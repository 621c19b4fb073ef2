"""Every output shows the same numbers for a run."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from tiny import SIZES, run

from zobench.cli.display.result import print_result
from zobench.comparison.pairs import compare_runs
from zobench.records.summary_line import summary_line
from zobench.reporting.content import collect


def test_show_json_report_and_compare_agree_on_every_interval(tmp_path: Path) -> None:
    one = run(tmp_path / "a", optimizer="random", overrides=SIZES)
    other = run(tmp_path / "b", optimizer="adam", overrides=SIZES)
    console = Console(width=240, record=True, file=io.StringIO(), highlight=False)
    print_result(other, False, console)
    shown = console.export_text()
    whole = other.as_dict()
    beyond = whole["controls"]["beyond_placebo"]
    last = whole["scores"][-1] | {"fpq": whole["fpq"], "beyond_placebo": beyond}
    compared = compare_runs([one], [other]).metrics
    (row,) = [each for each in collect([one, other], [0.5]).rows if each["optimizer"] == "adam"]
    listed = summary_line(other).values
    for quantity in other.quantities:
        found = last[quantity.name]
        b = compared[quantity.name].b
        assert (b.value, b.low, b.high) == tuple(found[end] for end in ("value", "low", "high"))
        assert listed[quantity.name] == found["value"]
        if not quantity.in_tables:
            continue
        assert row[quantity.name] == found
        digits = quantity.digits()
        value, low, high = (f"{round(each, digits) + 0.0:.{digits}f}" for each in found.values())
        assert re.search(rf"{re.escape(value)} \[{re.escape(low)}, {re.escape(high)}\]", shown)
