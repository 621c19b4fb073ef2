"""The paper's table with measured and published numbers, in several formats."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.markup import escape
from rich.table import Table

from zobench.contracts.metric import Metric

from .published import METHODS, METRICS, published
from .study import FORMULA, Entry

Rank = Literal[0, 1, 2]
"""1 is the best of its column, 2 the second, 0 neither."""

TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        **{sign: f"\\{sign}" for sign in "{}&%$#_"},
    }
)
"""Replacements for characters that are special in LaTeX."""


@dataclass(frozen=True)
class Cell:
    """A number with its interval, its rank in its column, and the published number."""

    value: float
    low: float
    high: float
    published: float | None
    rank: Rank = 0

    def text(self, best: Callable[[str], str], second: Callable[[str], str]) -> str:
        """The value, marked if it is one of the two best."""
        words = _shown(self.value)
        return {0: words, 1: best(words), 2: second(words)}[self.rank]

    @property
    def interval(self) -> str:
        """The interval as text."""
        return f"[{_shown(self.low)}, {_shown(self.high)}]"


def _shown(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "∞"


@dataclass(frozen=True)
class Line:
    """The row of one method in a block.

    Attributes:
        method: The name of the method.
        title: The title of the method in the paper, or its name.
        cells: The cells, in the order of the block's columns.
        queries: Queries of setup and training; the queries of scoring are the same for all methods.
        seeds: The number of seeds in each mean.
    """

    method: str
    title: str
    cells: tuple[Cell, ...]
    queries: float
    seeds: int


@dataclass(frozen=True)
class Block:
    """The methods on one disease.

    Attributes:
        disease: The name of the disease.
        columns: The metrics, in order.
        lines: One line per method.
    """

    disease: str
    columns: tuple[Metric, ...]
    lines: tuple[Line, ...]


def arrange(entries: Sequence[Entry], columns: Sequence[Metric]) -> list[Block]:
    """Blocks by disease, with the two best of each column marked."""
    blocks = []
    for disease in dict.fromkeys(entry.disease for entry in entries):
        members = [entry for entry in entries if entry.disease == disease]
        ranks = {metric.name: _ranks(members, metric) for metric in columns}
        lines = []
        for place, entry in enumerate(members):
            reported = published(entry.method, disease)
            cells = []
            for name in (metric.name for metric in columns):
                estimate = entry.metrics[name]
                said = reported[METRICS.index(name)] if reported and name in METRICS else None
                cells.append(
                    Cell(estimate.value, estimate.low, estimate.high, said, ranks[name][place])
                )
            queries = entry.queries["setup"] + entry.queries["optimize"]
            title = METHODS.get(entry.method, entry.method)
            lines.append(Line(entry.method, title, tuple(cells), queries, entry.seeds))
        blocks.append(Block(disease, tuple(columns), tuple(lines)))
    return blocks


def _ranks(entries: Sequence[Entry], metric: Metric) -> list[Rank]:
    sign = -1 if metric.higher_is_better else 1
    values = [round(sign * entry.metrics[metric.name].value, 1) for entry in entries]
    levels = sorted(set(values))
    marks: dict[float, Rank] = dict.fromkeys(levels[1:2], 2)
    marks |= dict.fromkeys(levels[:1], 1)
    return [marks.get(value, 0) for value in values]


def rich_tables(blocks: Sequence[Block], *, short: bool = False) -> Iterator[Table]:
    """One terminal table per disease; ``short`` leaves out the metric FORMULA and the queries."""
    for block in blocks:
        columns = block.columns
        kept = [n for n, metric in enumerate(columns) if not short or metric.name != FORMULA]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.title = escape(block.disease.replace("_", " "))
        table.add_column("method", no_wrap=True)
        for place in kept:
            table.add_column(escape(columns[place].heading), justify="right", no_wrap=True)
        if not short:
            table.add_column("queries", justify="right", no_wrap=True)
        for line in block.lines:
            texts = []
            for cell in line.cells:
                value = cell.text("[bold]{}[/]".format, "[underline]{}[/]".format)
                said = "" if cell.published is None else f"paper {cell.published:.1f}"
                texts.append(f"{value}\n[dim]{escape(cell.interval)}\n{said}[/]")
            texts = [texts[place] for place in kept]
            table.add_row(escape(line.title), *texts, *([] if short else [f"{line.queries:,.0f}"]))
        yield table


def markdown(blocks: Sequence[Block]) -> str:
    """One Markdown table per disease."""
    text = []
    for block in blocks:
        shown = [metric.heading.replace("|", r"\|") for metric in block.columns]
        headings = ["method", *shown, "queries"]
        text += [f"**{block.disease.replace('_', ' ')}**", ""]
        text += [_pipes(headings), _pipes(["---"] * len(headings))]
        for line in block.lines:
            cells = []
            for cell in line.cells:
                said = "" if cell.published is None else f" · paper {cell.published:.1f}"
                value = cell.text("**{}**".format, "<u>{}</u>".format)
                cells.append(f"{value} {cell.interval}{said}")
            text.append(_pipes([line.title.replace("|", r"\|"), *cells, f"{line.queries:,.0f}"]))
        text.append("")
    return "\n".join(text)


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex(blocks: Sequence[Block]) -> str:
    """One booktabs table; needs the packages booktabs and xcolor."""
    metrics = blocks[0].columns if blocks else ()
    columns = len(metrics) + 2
    text = [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\toprule"]
    headings = ["", *map(_tex_heading, metrics), "queries"]
    text.append(" & ".join(headings) + r" \\")
    for block in blocks:
        title = _tex(block.disease.replace("_", " "))
        text += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\textit{{{title}}}}} \\"]
        for line in block.lines:
            cells = [
                cell.text(r"\textbf{{{}}}".format, r"\underline{{{}}}".format)
                for cell in line.cells
            ]
            queries = f"{line.queries:,.0f}".replace(",", r"\,")
            text.append(" & ".join([_tex(line.title), *cells, queries]) + r" \\")
            if any(cell.published is not None for cell in line.cells):
                said = [
                    "" if cell.published is None else rf"\textcolor{{gray}}{{{cell.published:.1f}}}"
                    for cell in line.cells
                ]
                text.append(" & ".join([r"\quad\textcolor{gray}{published}", *said, ""]) + r" \\")
    text += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(text)


def _tex_heading(metric: Metric) -> str:
    arrow = r"$\uparrow$" if metric.higher_is_better else r"$\downarrow$"
    return (metric.latex or _tex(metric.heading)) + arrow


def _tex(words: str) -> str:
    return words.translate(TEX)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .8rem; text-align: right; vertical-align: top; white-space: nowrap; }}
th:first-child {{ text-align: left; }}
thead th {{ border-bottom: 1px solid; }}
small {{ display: block; opacity: .65; }}
.second {{ text-decoration: underline; }}
</style>
<h1>{title}</h1>
<p>Percent, mean over seeds with 95 % interval; best bold, second underlined; below what the paper
says.</p>
{body}
</html>
"""


def page(blocks: Sequence[Block], title: str) -> str:
    """A small HTML page that needs nothing else."""
    body = []
    for block in blocks:
        shown = [html.escape(metric.heading) for metric in block.columns]
        heads = "".join(f'<th scope="col">{heading}</th>' for heading in shown)
        rows = []
        for line in block.lines:
            cells = "".join(f"<td>{_html_cell(cell)}</td>" for cell in line.cells)
            name = f'<th scope="row">{html.escape(line.title)}</th>'
            rows.append(f"<tr>{name}{cells}<td>{line.queries:,.0f}</td></tr>")
        body.append(
            f"<h2>{html.escape(block.disease.replace('_', ' '))}</h2><div><table><thead><tr>"
            f'<th scope="col">method</th>{heads}<th scope="col">queries</th></tr></thead>\n<tbody>'
            + "\n".join(rows)
            + "</tbody></table></div>"
        )
    return PAGE.format(title=html.escape(title), body="\n".join(body))


def _html_cell(cell: Cell) -> str:
    value = cell.text("<b>{}</b>".format, '<span class="second">{}</span>'.format)
    said = "" if cell.published is None else f"<small>paper {cell.published:.1f}</small>"
    return f"{value}<small>{cell.interval}</small>{said}"


def as_csv(blocks: Sequence[Block]) -> str:
    """A CSV text with one row per number."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["disease", "method", "metric", "value", "low", "high", "published", "queries", "seeds"]
    )
    for block in blocks:
        for line in block.lines:
            for metric, cell in zip(block.columns, line.cells, strict=True):
                said = "" if cell.published is None else cell.published
                numbers = (cell.value, cell.low, cell.high, said, line.queries, line.seeds)
                writer.writerow([block.disease, line.method, metric.name, *numbers])
    return file.getvalue()
