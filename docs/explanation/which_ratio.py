"""Which definition of |1-DI| can the paper's Table 1 have been computed with?

    python docs/explanation/which_ratio.py

For every published row it goes through all confusion tables of the balanced test set that give the
row's EO_n, EO_p and accuracy, and looks whether any of them gives the row's |1-DI|, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from zobench_plugins.paper.published import METHODS, PUBLISHED

PER_CELL = {"pleural_effusion": 200, "pneumonia": 100, "edema": 200}
SLACK = 0.1 + 1e-9
"""Published numbers are rounded to one decimal, or cut off after it."""

Table = tuple[int, int, int, int]
"""True negatives and true positives of one group, then of the other."""


def tables(n: int, eo_n: float, eo_p: float, accuracy: float) -> Iterator[Table]:
    """Confusion tables with ``n`` images a cell that give these three numbers."""

    def pairs(gap: float) -> list[tuple[int, int]]:
        steps = [d for d in range(n + 1) if abs(100 * d / n - gap) <= SLACK]
        pairs = {(k, k + d) for d in steps for k in range(n + 1 - d)}
        return sorted(pairs | {(b, a) for a, b in pairs})

    for positives in pairs(eo_p):
        for negatives in pairs(eo_n):
            right = sum(positives) + sum(negatives)
            if abs(100 * right / (4 * n) - accuracy) <= SLACK:
                yield negatives[0], positives[0], negatives[1], positives[1]


def ratio_of_positives(table: Table, n: int) -> float | None:
    """The paper's formula: predicted positives of one group over those of the other."""
    first, second = n - table[0] + table[1], n - table[2] + table[3]
    return first / second if second else None


def ratio_of_true_positives(table: Table, n: int) -> float | None:
    """What the released code divides: true-positive rates."""
    return table[1] / table[3] if table[3] else None


def fits(method: str, disease: str) -> tuple[bool, bool]:
    """Whether any confusion table gives the published row, by the formula and by the released code."""
    eo_n, eo_p, gap, accuracy = PUBLISHED[method][disease]
    n, works = PER_CELL[disease], [False, False]
    for table in tables(n, eo_n, eo_p, accuracy):
        for place, ratio in enumerate((ratio_of_positives, ratio_of_true_positives)):
            value = ratio(table, n)
            if value is not None and abs(100 * abs(1 - value) - gap) <= SLACK:
                works[place] = True
        if all(works):
            break
    return works[0], works[1]


def main() -> None:
    """Prints one line per row, and how many rows each definition can explain."""
    counts = [0, 0]
    print(f"{'':<34}{'P(yhat=1)':>12}{'TPR':>8}")
    for method, title in METHODS.items():
        for disease in PUBLISHED[method]:
            fitted = fits(method, disease)
            counts = [count + fit for count, fit in zip(counts, fitted, strict=True)]
            words = ["possible" if fit else "-" for fit in fitted]
            print(f"{title:<14}{disease:<20}{words[0]:>12}{words[1]:>10}")
    rows = sum(map(len, PUBLISHED.values()))
    print(f"{'of ' + str(rows) + ' rows':<34}{counts[0]:>12}{counts[1]:>8}")


if __name__ == "__main__":
    main()
