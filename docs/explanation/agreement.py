"""Makes the tables of agreement.md from the runs of a suite.

zobench suite standard-small --out runs/agreement
python docs/explanation/agreement.py runs/agreement
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zobench.records.layout import run_folders
from zobench.records.stored_run import StoredRun
from zobench.reporting.content import Content, collect
from zobench.suite.file import TARGETS

QUANTITIES = {
    "fpq": "fairness per query",
    "recovery": "recovery of the last edit",
    "beyond_placebo": "beyond placebo",
}
NONE = "\N{EN DASH}"


def shown(value: dict[str, Any] | None) -> str:
    """A number with its interval."""
    if value is None or value["value"] is None:
        return NONE
    ends = ", ".join("∞" if value[end] is None else f"{value[end]:.2f}" for end in ("low", "high"))
    return f"{value['value']:.2f} [{ends}]"


def short(problem: str, problems: Sequence[str]) -> str:
    """The part of a problem's name in which it differs from the others."""
    words = [set(problem.split(" ")) for problem in problems]
    same = set.intersection(*words)
    return " ".join(word for word in problem.split(" ") if word not in same) or problem


def by_task(content: Content, quantity: str) -> str:
    """One row an optimizer, one column a task."""
    problems = content.problems
    rows = {(row["problem"], row["optimizer"]): row for row in content.rows}
    labels = list(dict.fromkeys(row["optimizer"] for row in content.rows))
    levels = {row["optimizer"]: row["feedback"] for row in content.rows}
    lines = [
        f"| {QUANTITIES[quantity]} | sees | "
        + " | ".join(short(x, problems) for x in problems)
        + " |",
        "| --- | --- |" + " --- |" * len(problems),
    ]
    for label in sorted(labels, key=lambda label: (levels[label], label)):
        cells = [shown(rows.get((problem, label), {}).get(quantity)) for problem in problems]
        lines.append(f"| `{label}` | {levels[label]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def correlations(content: Content, level: str) -> str:
    """Kendall's tau between every two tasks."""
    agreement = content.agreements[level]
    lines = [f"| {level}: {len(agreement['optimizers'])} optimizers | Kendall's tau | over seeds |"]
    lines.append("| --- | --- | --- |")
    for pair in agreement["pairs"]:
        one, two = (short(name, content.problems) for name in pair["problems"])
        tau = NONE if pair["tau"] is None else f"{pair['tau']:.2f}"
        ends = NONE if pair["low"] is None else f"[{pair['low']:.2f}, {pair['high']:.2f}]"
        lines.append(f"| {one} and {two} | {tau} | {ends} |")
    return "\n".join(lines)


def firsts(content: Content, level: str) -> str:
    """The first optimizer on each task."""
    table = content.agreements[level]["first"]
    lines = [f"| task | first in FPQ ({level}) | FPQ |", "| --- | --- | --- |"]
    for problem, best in table.items():
        lines.append(
            f"| {short(problem, content.problems)} | `{best['optimizer']}` | {best['fpq']:.2f} |"
        )
    return "\n".join(lines)


def gaps(content: Content) -> str:
    """The gap and the accuracy of ERM on each task."""
    lines = ["| task | EO_n | EO_p | accuracy |", "| --- | --- | --- | --- |"]
    for problem in content.problems:
        erm = content.erm[problem]
        cells = [shown(erm.get(name)) for name in ("eo_n", "eo_p", "accuracy")]
        lines.append(f"| {short(problem, content.problems)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    folder = parser.parse_args(arguments).runs
    runs = [StoredRun(path) for path in run_folders(folder)]
    done = [run for run in runs if run.done]
    if not done:
        sys.exit(
            f"{folder} holds no finished run; first: zobench suite standard-small --out {folder}"
        )
    content = collect(done, TARGETS)
    print(gaps(content), end="\n\n")
    for quantity in QUANTITIES:
        print(by_task(content, quantity), end="\n\n")
    for level in content.agreements:
        print(correlations(content, level), end="\n\n")
        print(firsts(content, level), end="\n\n")


if __name__ == "__main__":
    main()
