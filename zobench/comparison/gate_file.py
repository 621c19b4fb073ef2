"""The baseline file of a gate: what it holds, and how it is read and written.

A baseline is a small JSON file that is committed to a repository. It holds the values of earlier
runs and the loss that is allowed for each quantity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zobench.contracts.metric import Metric
from zobench.errors import ConfigError, DamagedError, StoreError
from zobench.files.json_files import Json, json_content, parsed_json, write_json

SCHEMA = 4


@dataclass(frozen=True)
class Sample:
    """The values of one quantity of one optimizer on one problem, by seed.

    Attributes:
        values: Value of the quantity, by seed.
        errors: Standard error of the value over patients, by seed.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """The baseline values of one optimizer on one problem.

    Attributes:
        optimizer: Label of the optimizer.
        problem: Name of the problem, see :func:`zobench.records.identity.problem`.
        conditions: Values of the conditions that runs must have in common, by key.
        metrics: Values by seed of each quantity, by name of the quantity.
    """

    optimizer: str
    problem: str
    conditions: Mapping[str, Any]
    metrics: Mapping[str, Sample]


@dataclass(frozen=True)
class Baseline:
    """The content of a baseline file: one allowed loss per quantity, one row per group of runs."""

    margins: Mapping[str, float]
    rows: tuple[Row, ...]


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes a baseline file; the order of keys and rows is that of ``baseline``."""
    write_json(path, {"zobench_baseline": SCHEMA, **asdict(baseline)})


def _baseline_content(path: Path) -> Json:
    if not path.exists():
        raise ConfigError(f"there is no baseline {path}; write one with --update")
    if path.is_dir():
        raise ConfigError(
            f"--baseline is {path}, a folder; name the JSON file that --update wrote, or will write"
        )
    try:
        # version control may have made the line ends those of Windows
        return parsed_json(path, json_content(path).replace(b"\r\n", b"\n"))
    except DamagedError as error:
        raise ConfigError(
            f"{path} is no baseline of zobench, or is damaged: it must end in the checksum of its "
            "content; restore it from version control, or delete it and write it anew with --update"
        ) from error
    except StoreError as error:
        raise ConfigError(f"{error}") from error


def read_baseline(path: Path, quantities: Sequence[Metric]) -> Baseline:
    """Reads a baseline file.

    Args:
        path: The file.
        quantities: The quantities that this installation can compute.

    Raises:
        ConfigError: The file cannot be read, is not a baseline, has another baseline format, or
            names an unknown quantity.
    """
    try:
        content = _baseline_content(path)
        if content["zobench_baseline"] != SCHEMA:
            raise ConfigError(
                f"{path} has baseline format {content['zobench_baseline']}, but this zobench knows "
                f"{SCHEMA}; upgrade zobench, or delete the file and write it anew with --update"
            )
        rows = tuple(
            Row(
                row["optimizer"],
                row["problem"],
                {"until": 0.0, **row["conditions"]},  # baselines of before this was one
                {name: _sample(**sample) for name, sample in row["metrics"].items()},
            )
            for row in content["rows"]
        )
        margins = {name: float(value) for name, value in content["margins"].items()}
        missing = sorted(set(margins) - {quantity.name for quantity in quantities})
        if missing:
            raise ConfigError(
                f"{path} holds {', '.join(missing)}, which no installed distribution computes; install "
                "the one that has it, or write the file anew with --update"
            )
        if any(set(row.metrics) != set(margins) for row in rows):
            raise ValueError("the metrics of a row are not the metrics named in the margins")
        return Baseline(margins, rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no baseline of zobench ({error!r}); mend it, or name another file"
        ) from error


def _sample(values: Mapping[str, float], errors: Mapping[str, float]) -> Sample:
    """A sample from JSON.

    Raises:
        ValueError: There are no values, a seed is not a whole number, a number is not finite, or
            values and errors have different seeds.
    """
    numbers = [float(number) for number in (*values.values(), *errors.values())]
    if not values or values.keys() != errors.keys():
        raise ValueError("values and errors must have the same seeds, at least one")
    if not all(seed.isdecimal() for seed in values) or not all(map(math.isfinite, numbers)):
        raise ValueError("seeds must be whole numbers, and values and errors finite numbers")
    return Sample(values, errors)
