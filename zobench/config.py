"""What a run is: one frozen request, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .heads import PROTOCOLS
from .heads import Protocol as HeadProtocol
from .parameters import nearest
from .spaces import check_space_name

OWNERS = ("optimizer", "encoder", "dataset", "split")


@dataclass(frozen=True)
class RunConfig:
    """One run: (dataset, disease, encoder, optimizer, space, seed, budget) and how it is measured.

    Attributes:
        optimizer: Registered name, ``family`` or ``family:argument``.
        encoder: Likewise.
        dataset: Likewise.
        disease: The finding that the downstream classifier predicts.
        data_root: Folder of the dataset, made absolute; ``None`` where it brings its own images.
        space: Search space of the optimizer.
        box: Largest absolute value of an edit; 0 for none.
        seed: Root of all random streams.
        budget: Queries that the optimizer may spend, in images.
        batch_size: B, images a minibatch of the objective.
        penalty: lambda of the objective.
        backward_cost: Queries that one image's backward pass counts for.
        heads: Training protocol of the linear heads.
        snapshots: Log-spaced query counts at which the recommended edit is kept.
        replicates: Bootstrap resamples behind every interval.
        tolerance: Points of accuracy that an edit may cost before its recovery counts as 0.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        quantize: Bits of a pixel on the way to a local encoder, to study services that take
            picture files: 8, or 0 for exact floats.
        max_cost: What a rented encoder's images may cost in all, in the unit of its price; 0 for
            no limit.
        overrides: Parameters by owner (optimizer, encoder, dataset, split) and name.
    """

    optimizer: str = "gezo"
    encoder: str = "vit-mae"
    dataset: str = "phantom"
    disease: str = "edema"
    data_root: str | os.PathLike[str] | None = None
    space: str = "pixel"
    box: float = 0.0
    seed: int = 0
    budget: int = 6_400
    batch_size: int = 64
    penalty: float = 0.01
    backward_cost: int = 2
    heads: HeadProtocol = "converged"
    snapshots: int = 5
    replicates: int = 2000
    tolerance: float = 1.0
    device: str = "auto"
    precision: str = "auto"
    quantize: int = 0
    max_cost: float = 0.0
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks every field that can be checked without looking outside.

        Raises:
            ConfigError: A field breaks its rule.
        """
        if self.data_root is not None:
            object.__setattr__(self, "data_root", str(Path(self.data_root).expanduser().absolute()))
        for name, low, rule in (
            ("seed", 0, "a whole number of at least 0"),
            ("batch_size", 1, "a whole number of at least 1"),
            ("backward_cost", 0, "a whole number of at least 0"),
            ("snapshots", 1, "a whole number of at least 1"),
            ("replicates", 10, "a whole number of at least 10"),
        ):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            _require(whole and value >= low, name, value, rule)
        for name in ("penalty", "tolerance", "box", "max_cost"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            rule = "a number of at least 0"
            _require(number and 0 <= value < float("inf"), name, value, rule)
        _require(
            isinstance(self.budget, int) and self.budget >= self.batch_size,
            "budget",
            self.budget,
            f"at least one evaluation, so {self.batch_size} queries (batch_size images)",
        )
        check_space_name(self.space)
        device = re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(self.device))
        _require(device is not None, "device", self.device, "auto, cpu or cuda:N")
        _require(self.quantize in (0, 8), "quantize", self.quantize, "8, or 0 for exact floats")
        choices = {"heads": PROTOCOLS, "precision": ("auto", "fp32", "bf16")}
        for name, allowed in choices.items():
            value = getattr(self, name)
            _require(value in allowed, name, value, "one of " + ", ".join(allowed))
        for owner in self.overrides:
            if owner not in OWNERS:
                raise ConfigError(
                    f"overrides go to {', '.join(OWNERS)}, not to {owner!r}{nearest(owner, OWNERS)}"
                )

    def changed(self, **fields: Any) -> RunConfig:
        """Another request that differs in these fields; checked like the first."""
        return dataclasses.replace(self, **fields)

    def with_settings(self, owner: str, **values: Any) -> RunConfig:
        """Another request with these parameters of an owner besides those that it has."""
        settings = {**self.overrides.get(owner, {}), **values}
        return self.changed(overrides={**self.overrides, owner: settings})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}, but must be {rule}")


def config_from_json(values: Mapping[str, Any]) -> RunConfig:
    """A config as the store wrote it.

    Raises:
        ConfigError: It has a field that this version does not know.
    """
    known = {each.name for each in dataclasses.fields(RunConfig)}
    for name in values:
        if name not in known:
            raise ConfigError(f"the config has an unknown field {name!r}{nearest(name, known)}")
    return RunConfig(**values)


def parse_overrides(
    settings: list[str], owners: tuple[str, ...] = OWNERS
) -> dict[str, dict[str, str]]:
    """``["optimizer.step=0.02"]`` as ``{"optimizer": {"step": "0.02"}}``.

    Raises:
        ConfigError: A setting is not of that form.
    """
    found: dict[str, dict[str, str]] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        owner, dot, name = path.strip().partition(".")
        if not (equals and dot and name):
            raise ConfigError(
                f"--set {setting!r} is not of the form owner.name=value, e.g. optimizer.step=0.02 "
                f"(owners: {', '.join(owners)})"
            )
        if owner not in owners:
            raise ConfigError(
                f"--set goes to {', '.join(owners)}, not to {owner!r}{nearest(owner, owners)}"
            )
        found.setdefault(owner, {})[name] = value.strip()
    return found


def cache_folder() -> Path:
    """Where anything is kept that can be made again: ``ZOBENCH_CACHE`` or the user's cache folder."""
    import platformdirs

    named = os.environ.get("ZOBENCH_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("zobench"))
