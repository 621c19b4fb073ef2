"""The table in all formats, and its comparison with the published table."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from zobench_plugins.paper.published import METHODS, PUBLISHED
from zobench_plugins.paper.study import Entry, table_columns
from zobench_plugins.paper.table import Block, arrange, as_csv, latex, markdown, page, rich_tables

from zobench.measures.interval import Interval
from zobench.registry.discovery import load_registry

NAMES = ("eo_n", "eo_p", "di_gap", "di_gap_tpr", "accuracy")
COLUMNS = [each for each in table_columns(load_registry()) if each.name in NAMES]

HOSTILE = "dne:<b>&_x|{^~\\}"


def entry(method: str, disease: str, *values: float) -> Entry:
    metrics = {
        metric.name: Interval(value, value - 2, value + 3, 3)
        for metric, value in zip(COLUMNS, values, strict=True)
    }
    queries = {"setup": 320.0, "optimize": 3200.0 if ":" in method else 0.0, "score": 320.0}
    return Entry(method, disease, metrics, queries, 3)


@pytest.fixture
def blocks() -> list[Block]:
    return arrange(
        [
            entry("erm", "edema", 40.0, 30.0, 20.0, 25.0, 75.0),
            entry("dne:adam", "edema", 10.0, 30.0, 21.0, 24.0, 74.0),
            entry(HOSTILE, "edema", 20.04, 12.0, 22.0, 23.0, 76.0),
            entry("erm", "pneumonia", 1.0, 2.0, 3.0, 4.0, 5.0),
        ],
        COLUMNS,
    )


def test_the_best_and_the_second_of_a_column_are_marked_ties_alike(blocks: list[Block]) -> None:
    edema, _ = blocks
    ranks = [[cell.rank for cell in line.cells] for line in edema.lines]
    assert ranks == [[0, 2, 1, 0, 2], [1, 2, 2, 2, 0], [2, 1, 0, 1, 1]]


def test_published_numbers_stand_beside_those_they_belong_to(blocks: list[Block]) -> None:
    edema, _ = blocks
    erm, dne, other = ([cell.published for cell in line.cells] for line in edema.lines)
    assert erm == [42.0, 39.0, None, 42.0, 74.5]  # the published |1-DI| is di_gap_tpr of zobench
    assert dne == [27.5, 17.0, None, 19.7, 75.6]
    assert other == [None] * 5
    assert [line.title for line in edema.lines] == ["ERM", "DNE", HOSTILE]
    assert [line.queries for line in edema.lines] == [320, 3520, 3520]


def test_csv_has_every_number_once(blocks: list[Block]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(blocks))))
    assert len(rows) == 4 * len(COLUMNS)
    assert {(row["disease"], row["method"]) for row in rows} >= {("edema", HOSTILE)}
    first = rows[0]
    assert (first["metric"], float(first["value"]), first["published"]) == ("eo_n", 40.0, "42.0")


def test_latex_is_balanced_and_escaped(blocks: list[Block]) -> None:
    text = latex(blocks)
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in text
    assert r"\textbf{10.0}" in text
    assert r"\underline{20.0}" in text
    assert r"dne:<b>\&\_x|\{\textasciicircum{}\textasciitilde{}\textbackslash{}\}" in text
    body = [
        line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert {line.replace(r"\&", "").count("&") for line in body} == {6}


def test_markdown_has_equally_many_cells_in_each_row(blocks: list[Block]) -> None:
    rows = [line for line in markdown(blocks).splitlines() if line.startswith("|")]
    assert {row.replace(r"\|", "").count("|") for row in rows} == {8}
    assert "| ERM | 40.0 [38.0, 43.0] · paper 42.0 | <u>30.0</u>" in markdown(blocks)


def test_the_page_is_whole_and_names_stay_text(blocks: list[Block]) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.seen: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta",):
                self.open.append(tag)
            self.seen.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Reader()
    reader.feed(page(blocks, "<script>"))
    assert reader.open == []
    assert "script" not in reader.seen
    assert reader.seen.count("tr") == 2 + 4
    assert "&lt;b&gt;" in page(blocks, "")


def test_the_terminal_shows_it_within_a_common_width(blocks: list[Block]) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    for table in rich_tables(blocks):
        console.print(table)
    text = console.export_text()
    assert "paper 42.0" in text
    assert HOSTILE in text
    assert "…" not in text


def test_every_published_row_is_there() -> None:
    assert set(PUBLISHED) == set(METHODS)
    assert all(len(rows) == 3 for rows in PUBLISHED.values())


def test_the_published_ratio_can_only_be_that_of_true_positives() -> None:
    path = Path(__file__).parents[3] / "docs" / "explanation" / "which_ratio.py"
    spec = importlib.util.spec_from_file_location("which_ratio", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["which_ratio"] = module
    spec.loader.exec_module(module)
    found = [module.fits(method, disease) for method in PUBLISHED for disease in PUBLISHED[method]]
    assert sum(by_formula for by_formula, _ in found) == 3
    assert all(by_released_code for _, by_released_code in found)
    # both ratios on counts worked out by hand, because the table uses the same functions
    assert module.ratio_of_positives((90, 80, 70, 60), 100) == pytest.approx(90 / 90)
    assert module.ratio_of_true_positives((90, 80, 70, 60), 100) == pytest.approx(80 / 60)
