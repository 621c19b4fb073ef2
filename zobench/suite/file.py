"""The suite file: TOML that declares optimizers x encoders x datasets x diseases x spaces x seeds."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zobench.config import WHOLE, RunConfig
from zobench.contracts.parameters import cut, nearest
from zobench.errors import ConfigError
from zobench.paths import expanded

TARGETS = (0.1, 0.25, 0.5, 0.75)
"""Default recovery targets of runtimes, if the suite file sets no targets."""

MAX_BYTES = 1_000_000
"""Largest suite file."""

MAX_RUNS = 100_000
MAX_SEEDS = 10_000

GRID = ("optimizers", "objectives", "encoders", "datasets", "diseases", "spaces", "seeds")
TOP = ("name", "targets", *GRID, "run", "split")
ENTRY = {
    "optimizers": ("name", "set", "spaces"),
    "objectives": ("name", "set"),
    "encoders": ("name", "set"),
    "datasets": ("name", "set", "data_root", "diseases"),
}
SWEPT = (
    *("optimizer", "objective", "encoder", "dataset", "disease", "data_root", "space", "seed"),
    "overrides",
)
RUN = tuple(
    declared.name for declared in dataclasses.fields(RunConfig) if declared.name not in SWEPT
)


@dataclass(frozen=True)
class Suite:
    """A suite as declared.

    Attributes:
        name: The name of the suite, shown in titles.
        configs: The configs of the suite's runs, without duplicates; the seed varies fastest.
        targets: The recovery targets of runtimes.
        entries: The optimizers, objectives, encoders and datasets of the grid, also those without a
            run.
    """

    name: str
    configs: tuple[RunConfig, ...]
    targets: tuple[float, ...]
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One optimizer, objective, encoder or dataset of the grid."""

    owner: str
    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    spaces: Sequence[str] = ()
    data_root: str | None = None
    diseases: Sequence[str] = ()


class Problems(list[str]):
    """The problems of a suite file, collected to report all of them in one error."""

    def raise_if_any(self, path: Path) -> None:
        """Raises a :class:`ConfigError` that lists every problem once."""
        if self:
            unique = list(dict.fromkeys(self))
            lines = "".join(f"\n  - {problem}" for problem in unique)
            count = "a problem" if len(unique) == 1 else f"{len(unique)} problems"
            raise ConfigError(f"{path} has {count}; nothing was started:{lines}")


def read_suite(
    path: Path, problems: Problems | None = None, data_root: Path | None = None
) -> Suite:
    """Reads a suite file.

    Args:
        path: The file.
        problems: The list that problems are added to, to report them together with those of
            planning; the suite then has only the valid runs. If ``None``, problems are raised.
        data_root: Folder of the datasets for which the file names none.

    Raises:
        ConfigError: The file cannot be read, or has problems; all problems are listed.
    """
    faults = Problems() if problems is None else problems
    content = _content(path)
    _check_keys(content, TOP, "", faults)
    name = content.get("name", path.stem)
    if not isinstance(name, str):
        faults.append(f"name is {cut(name)}, but must be text")
    entries, configs = _grid(content, path.parent, data_root, faults)
    targets = _targets(content, faults)
    if problems is None:
        faults.raise_if_any(path)
    return Suite(str(name), configs, targets, entries)


def _content(path: Path) -> Mapping[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file; name a suite file, in TOML")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"the suite file {path} has more than {MAX_BYTES:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the suite file {path}: {error.strerror}; name a TOML file, or a suite of "
            "zobench list suites"
        ) from error
    except RecursionError as error:
        raise ConfigError(
            f"{path} is no suite file: its tables or lists are nested too deep"
        ) from error
    except ValueError as error:  # no TOML, no UTF-8, or a number with thousands of digits
        raise ConfigError(f"{path} is no TOML: {cut(str(error))}") from error


def _check_keys(
    table: Mapping[str, Any], allowed: Sequence[str], where: str, out: Problems
) -> None:
    for key in table:
        if key not in allowed:
            advice = (
                _elsewhere(key, where) or nearest(key, allowed) or f"; known: {', '.join(allowed)}"
            )
            shown = key if key.isprintable() and len(key) <= 80 else cut(key)
            out.append(f"unknown key {where}{shown}{advice}")


def _elsewhere(key: str, where: str) -> str:
    """Where a key belongs that is known in another table of a suite file."""
    outside = next((section for section in TOP if section in (key, f"{key}s")), None)
    if where == "run." and outside is not None:
        return f"; it belongs before the first table, as {outside} = …"
    if not where and key in RUN:
        return "; it belongs into the table [run]"
    return ""


def _grid(
    content: Mapping[str, Any], folder: Path, data_root: Path | None, out: Problems
) -> tuple[tuple[Entry, ...], tuple[RunConfig, ...]]:
    """The entries of the grid, and the configs of their product."""
    optimizers = _entries(content, "optimizers", (), out)
    objectives = _entries(content, "objectives", (RunConfig.objective,), out)
    encoders = _entries(content, "encoders", (RunConfig.encoder,), out)
    datasets = _entries(content, "datasets", (RunConfig.dataset,), out)
    diseases = _texts(content.get("diseases", [RunConfig.disease]), "diseases", out)
    spaces = _texts(content.get("spaces", [RunConfig.space]), "spaces", out)
    seeds = _seeds(content.get("seeds", 1), out)
    common = _table(content, "run", out)
    _check_keys(common, RUN, "run.", out)
    common = {key: value for key, value in common.items() if key in RUN}
    split = _table(content, "split", out)
    problems_of_data = [
        (dataset, disease) for dataset in datasets for disease in (dataset.diseases or diseases)
    ]
    spaces_in_all = sum(len(entry.spaces or spaces) for entry in optimizers)
    entries = (*optimizers, *objectives, *encoders, *datasets)
    count = len(objectives) * len(encoders) * len(problems_of_data) * spaces_in_all * len(seeds)
    if count > MAX_RUNS:
        out.append(f"the file declares {count:,} runs; a suite has at most {MAX_RUNS:,}")
        return entries, ()
    configs: list[RunConfig] = []
    seen: set[str] = set()
    for encoder, (dataset, disease), objective, optimizer in itertools.product(
        encoders, problems_of_data, objectives, optimizers
    ):
        root = data_root
        if dataset.data_root is not None:
            root = folder.absolute() / expanded(dataset.data_root)  # not expanded again
        overrides = {
            "optimizer": dict(optimizer.set),
            "encoder": dict(encoder.set),
            "dataset": dict(dataset.set),
            "objective": dict(objective.set),
            "split": split,
        }
        for space, seed in itertools.product(optimizer.spaces or spaces, seeds):
            fields: dict[str, Any] = {
                "optimizer": optimizer.name,
                "objective": objective.name,
                "encoder": encoder.name,
                "dataset": dataset.name,
                "disease": disease,
                "data_root": str(root) if root is not None else None,
                "space": space,
                "seed": seed,
                "overrides": {owner: values for owner, values in overrides.items() if values},
            }
            try:
                config = RunConfig(**common, **fields)
            except (ConfigError, TypeError) as error:
                out.append(str(error))
                continue
            if repr(config) in seen:
                out.append(
                    f"the run of {optimizer.name} in {space} on {dataset.name}/{disease} with seed "
                    f"{seed} is declared twice"
                )
                continue
            seen.add(repr(config))
            configs.append(config)
    return entries, tuple(configs)


def _entries(
    content: Mapping[str, Any], key: str, default: Sequence[str], out: Problems
) -> list[Entry]:
    values = content.get(key, list(default))
    if not isinstance(values, list) or not values:
        out.append(f"{key} is {cut(values)}, but must be a list of at least one name")
        return []
    entries = []
    owner = key.removesuffix("s")
    for value in values:
        if isinstance(value, str):
            entries.append(Entry(owner, value))
            continue
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            out.append(f"{key} holds {cut(value)}, but must hold names, or tables with a name")
            continue
        where = f"{key}[{cut(value['name'])}]."
        _check_keys(value, ENTRY[key], where, out)
        settings = value.get("set", {})
        if not isinstance(settings, dict):
            out.append(f"{where}set is {cut(settings)}, but must be a table of parameters")
            settings = {}
        settings = _dotted(settings)
        root = value.get("data_root")
        if root is not None and not isinstance(root, str):
            out.append(f"{where}data_root is {cut(root)}, but must be the path of a folder")
            root = None
        lists = {
            name: _texts(value[name], f"{where}{name}", out)
            for name in ("spaces", "diseases")
            if name in value
        }
        entries.append(Entry(owner, value["name"], settings, data_root=root, **lists))
    return entries


def _texts(values: object, where: str, out: Problems) -> list[str]:
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        out.append(f"{where} is {cut(values)}, but must be a list of at least one name")
        return []
    return values


def _seeds(values: object, out: Problems) -> list[int]:
    if isinstance(values, int) and not isinstance(values, bool) and 0 < values <= MAX_SEEDS:
        return list(range(values))
    low, high = WHOLE["seed"]
    whole = isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        for value in values
    )
    if not whole or not 0 < len(values) <= MAX_SEEDS:  # type: ignore[arg-type]
        out.append(
            f"seeds is {cut(values)}, but must be a list of whole numbers up to {high:,}, or how many: "
            f"3 means 0, 1, 2; at most {MAX_SEEDS:,} seeds"
        )
        return []
    return list(values)  # type: ignore[call-overload, no-any-return]


def _table(content: Mapping[str, Any], key: str, out: Problems) -> dict[str, Any]:
    values = content.get(key, {})
    if not isinstance(values, dict):
        out.append(f"{key} is {cut(values)}, but must be a table: [{key}]")
        return {}
    return values


def _dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a wrapped optimizer by dotted name: ``{"inner": {"lr": 1}}`` as ``inner.lr``."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inside = _dotted(value) if isinstance(value, dict) else None
        flat |= {name: value} if inside is None else {f"{name}.{k}": inside[k] for k in inside}
    return flat


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _targets(content: Mapping[str, Any], out: Problems) -> tuple[float, ...]:
    try:
        return checked_targets(content.get("targets", list(TARGETS)))
    except ConfigError as error:
        out.append(str(error))
        return TARGETS


def checked_targets(values: object) -> tuple[float, ...]:
    """Target recoveries as a suite file or a caller gives them.

    Raises:
        ConfigError: They are no list of increasing recoveries above 0, at most 1.
    """
    if (
        not isinstance(values, list | tuple)
        or not values
        or not all(_is_number(value) and 0 < value <= 1 for value in values)
        or sorted(set(values)) != list(values)
    ):
        raise ConfigError(
            f"targets is {cut(values)}, but must be increasing recoveries above 0, at most 1"
        )
    return tuple(float(value) for value in values)
