"""The result table on terminals of any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tiny import run

from zobench.cli.tables import print_result


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_table_loses_no_row_name_and_cuts_no_number_on_any_terminal(
    tmp_path: Path, width: int
) -> None:
    result = run(tmp_path)
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    print_result(result, console)
    text = console.export_text()
    assert "…" not in text
    assert text.count("edit ") >= len(result.scores) - 1
    for score in result.scores:
        for name in ("eo_n", "eo_p", "accuracy"):
            found = score.metrics[name]
            assert f"{found.value:.1f}" in text
            assert f"[{found.low:.1f}, {found.high:.1f}]" in text
    assert max(map(len, text.splitlines())) <= width or str(result.run_dir) in text
