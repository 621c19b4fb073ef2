"""The train/test split: patient-disjoint, test balanced over (y, a), train as-is or amplified.

An amplified split follows Jin et al. 2024, section 3.1, after Deng et al. 2023: the training images
are drawn so that one group has more positive images than the other. A split ``as-is`` keeps the
dataset's own shares of the cells of (y, a). The test set has equally many images in each cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zobench.contracts.dataset import Bias, Dataset, Records, Rows
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, DatasetError

OWN = "own"
TRAIN = 800
TEST_PER_CELL = 640
"""Default sizes: enough test images for intervals of +-5 points on every rate's gap."""


@dataclass(frozen=True)
class SplitParameters:
    """Sizes and bias of a split."""

    train: int | None = parameter(
        None,
        f"images to train on; unset: {TRAIN}, or fewer if there are fewer",
        low=8,
        high=10_000_000,
    )
    test_per_cell: int | None = parameter(
        None,
        f"test images in each of the four cells of (y, a); unset: {TEST_PER_CELL}, or fewer",
        low=2,
        high=1_000_000,
    )
    bias: str = parameter(
        OWN,
        "of the training images: 'as-is' keeps the data's own shares, 'amplified' draws a gap; 'own' "
        "is as-is for real archives and amplified for phantoms",
        choices=(OWN, "as-is", "amplified"),
    )
    gap: float | None = parameter(
        None,
        "P(y=1|a=0) - P(y=1|a=1) in amplified training images; unset: the dataset's default",
        low=-1.0,
        high=1.0,
    )
    positive_rate: float | None = parameter(
        None,
        "P(y=1) in amplified training images; unset: the dataset's default",
        low=0.0,
        high=1.0,
    )


FALLING_TRAIN_SIZES = [int(TRAIN * 0.95**step) for step in range(90)]
"""Sizes that are tried one after another where the user names none."""

SHRUNK_TEST_SHARE = 0.45
"""Share of the smallest cell used as test images if the cell is too small for the default."""


@dataclass(frozen=True)
class Split:
    """Row numbers of a dataset.

    Attributes:
        train: Rows to train on; both heads and the optimizer see only these.
        test: Rows that only the scorer sees.
        bias: The bias of the training rows.
    """

    train: Rows
    test: Rows
    bias: Bias


def cell(label: int, sensitive: int) -> int:
    """Number of the cell of (y, a): 2y + a."""
    return 2 * label + sensitive


def make_split(dataset: Dataset, parameters: SplitParameters, rng: np.random.Generator) -> Split:
    """Draws a split.

    Raises:
        DatasetError: A cell has too few patients; the message prints the table of cells.
        ConfigError: The gap is impossible with this positive rate, or is given for a split as-is.
    """
    records = dataset.records
    bias = _bias(dataset, parameters)
    order = _shuffled_by_patient(records, rng)
    cells = cell(1, 0) * records.label + records.sensitive
    test_size = parameters.test_per_cell
    if test_size is None:
        smallest = int(np.bincount(cells, minlength=4).min())
        test_size = min(TEST_PER_CELL, int(SHRUNK_TEST_SHARE * smallest))
    composition = _as_is(records) if bias == "as-is" else _amplified(dataset, parameters)
    train_sizes = [parameters.train] if parameters.train is not None else FALLING_TRAIN_SIZES
    for train_size in train_sizes:
        sizes = composition.sizes(train_size)
        if test_size < 2 or train_size < 8 or (bias == "as-is" and min(sizes) < 1):
            break
        rows = _draw(records, cells, order, test_size, sizes)
        if rows is not None:
            return Split(*rows, bias)
    wanted = ", ".join(map(str, composition.sizes(train_sizes[0])))
    raise DatasetError(
        f"too few patients for a split with test_per_cell={test_size}, train={train_sizes[0]} "
        f"({wanted} in the cells below) and bias={bias} "
        "(patients are never shared between train and test; each cell needs an image):\n"
        + table_of_cells(dataset)
        + "\nAsk for other sizes with --set split.test_per_cell=… --set split.train=…"
    )


def _bias(dataset: Dataset, parameters: SplitParameters) -> Bias:
    """The bias asked for, or the dataset's own; a gap or a rate asks for an amplified split."""
    given = [name for name in ("gap", "positive_rate") if getattr(parameters, name) is not None]
    if parameters.bias == "as-is":
        if given:
            raise ConfigError(
                f"split.{given[0]} is {getattr(parameters, given[0]):g}, but split.bias=as-is keeps the "
                "data's own rates; leave one of them out"
            )
        return "as-is"
    return "amplified" if given or parameters.bias == "amplified" else dataset.spec.bias


@dataclass(frozen=True)
class Composition:
    """The training images by group and finding.

    Attributes:
        share: Share of the group a=0.
        rates: Share of positives in the groups a=0 and a=1.
    """

    share: float
    rates: tuple[float, float]

    def sizes(self, total: int) -> list[int]:
        """Images in the cells (0,0), (0,1), (1,0), (1,1); equal groups stay equal for an odd total."""
        first = total // 2 if self.share == 0.5 else round(total * self.share)
        groups = (first, first if self.share == 0.5 else total - first)
        positives = [round(size * rate) for size, rate in zip(groups, self.rates, strict=True)]
        return [groups[0] - positives[0], groups[1] - positives[1], *positives]


def _as_is(records: Records) -> Composition:
    """The composition of the whole dataset."""
    a, y = records.sensitive, records.label
    first, second = (float(y[a == group].mean()) if (a == group).any() else 0.0 for group in (0, 1))
    return Composition(float((a == 0).mean()), (first, second))


def _amplified(dataset: Dataset, parameters: SplitParameters) -> Composition:
    """Groups of equal size with the gap and the rate that are asked for, or the dataset's."""
    spec = dataset.spec
    gap = spec.positive_rate_gap if parameters.gap is None else parameters.gap
    rate = spec.positive_rate if parameters.positive_rate is None else parameters.positive_rate
    if not abs(gap) / 2 <= rate <= 1.0 - abs(gap) / 2:
        raise ConfigError(
            f"split.positive_rate is {rate:g}, but with split.gap={gap:g} it must be from "
            f"{abs(gap) / 2:g} to {1 - abs(gap) / 2:g}: both groups' rates lie in [0, 1]"
        )
    return Composition(0.5, (rate + gap / 2, rate - gap / 2))


def table_of_cells(dataset: Dataset) -> str:
    """Images and patients in each cell, as text."""
    records, spec = dataset.records, dataset.spec
    lines = [f"  {'':<12}{'':<10}{'images':>8}{'patients':>10}"]
    for label, finding in ((0, "negative"), (1, "positive")):
        for sensitive, group in enumerate(spec.groups):
            rows = (records.label == label) & (records.sensitive == sensitive)
            patients = len(np.unique(records.patient[rows]))
            lines.append(f"  {finding:<12}{group:<10}{int(rows.sum()):>8}{patients:>10}")
    return "\n".join(lines)


def _shuffled_by_patient(records: Records, rng: np.random.Generator) -> Rows:
    """Row numbers with patients in random order and the images of one patient together."""
    patients, inverse = np.unique(records.patient, return_inverse=True)
    rank = rng.permutation(len(patients))
    return np.argsort(rank[inverse], kind="stable")


def _draw(
    records: Records, cells: Rows, order: Rows, test_size: int, train_sizes: list[int]
) -> tuple[Rows, Rows] | None:
    """Fills the test cells, then the train cells; ``None`` if a cell has too few images."""
    ordered_cells = cells[order]
    test = [order[ordered_cells == number][:test_size] for number in range(4)]
    if any(len(rows) < test_size for rows in test):
        return None
    chosen = np.concatenate(test)
    free = order[~np.isin(records.patient[order], records.patient[chosen])]
    free_cells = cells[free]
    train = [free[free_cells == number][:size] for number, size in enumerate(train_sizes)]
    if any(len(rows) < size for rows, size in zip(train, train_sizes, strict=True)):
        return None
    return np.sort(np.concatenate(train)), np.sort(chosen)
