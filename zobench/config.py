"""The config of a run: a frozen dataclass that is checked before the run starts."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .contracts.head import PROTOCOLS, HeadProtocol
from .contracts.parameters import cut, nearest
from .errors import ConfigError
from .paths import expanded
from .problem.spaces import check_space_name

OWNERS = ("optimizer", "encoder", "dataset", "objective", "split")
WHOLE = {
    "seed": (0, 2**63 - 1),
    "budget": (1, 10**12),
    "batch_size": (1, 65_536),
    "backward_cost": (0, 1_000),
    "snapshots": (1, 10_000),
    "scored": (1, 10_000),
    "replicates": (10, 100_000),
}
"""Fields that are whole numbers, with the lowest and the highest value of each."""

NUMBERS = {
    "penalty": 1e6,
    "tolerance": 100.0,
    "box": 1e6,
    "max_cost": 1e12,
    "max_time": 1e9,
    "until": 1.0,
}
"""Fields that are numbers of at least 0, with the highest value of each."""

CONTROLS = ("last", "all", "none")
TEXTS = ("optimizer", "encoder", "dataset", "disease", "objective", "space")
MAX_NAME_CHARACTERS = 1_000
MAX_OVERRIDES = 1_000


@dataclass(frozen=True)
class RunConfig:
    """The config of one run: its problem, optimizer, seed and budget, and the settings of scoring.

    Attributes:
        optimizer: Registered name, ``family`` or ``family:argument``.
        encoder: The encoder's registered name, ``family`` or ``family:argument``.
        dataset: The dataset's registered name, ``family`` or ``family:argument``.
        disease: The finding that the downstream classifier predicts.
        objective: The registered name of the function of embeddings that the optimizer lowers.
        data_root: Absolute folder of the dataset; ``None`` if the dataset brings its own images.
        space: Search space of the optimizer.
        box: Largest absolute value of an edit; 0 for none.
        seed: The seed of all random streams of the run.
        budget: Queries that the optimizer may spend, in images.
        batch_size: B, the number of images per minibatch of the objective.
        penalty: The weight lambda of the norm in the objective.
        backward_cost: Queries that one image's backward pass counts for.
        heads: Training protocol of the linear heads.
        snapshots: Number of log-spaced query counts at which the recommended edit is stored.
        scored: Number of edits that are scored, at most; gap and accuracy of the other snapshots
            are interpolated.
        controls: Which scored snapshots are scored beside their placebo and their negative: ``last``,
            ``all`` or ``none``.
        baselines: Names of the methods that are shown as no-query baselines, with commas between
            them; empty or ``none`` for none.
        replicates: Number of bootstrap resamples that intervals are computed from.
        tolerance: Points of accuracy that an edit may cost before its recovery counts as 0.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        quantize: Bits per pixel of images sent to a local encoder, to study services that take
            picture files: 8, or 0 for exact floats.
        max_cost: The sum that a rented encoder's images may cost, in the unit of its price; 0
            for no limit.
        max_time: Wall time of the run in seconds after which the optimizer is asked no more; 0 for no
            limit. Scoring follows.
        until: Recovery of a snapshot, on the test data, at which the optimizer is asked no more; 0 for
            none. Every snapshot is scored then, as soon as it is there.
        overrides: Parameters by owner (optimizer, encoder, dataset, objective, split) and name.
    """

    optimizer: str = "gezo"
    encoder: str = "vit-mae"
    dataset: str = "phantom"
    disease: str = "edema"
    objective: str = "dne"
    data_root: str | os.PathLike[str] | None = None
    space: str = "pixel"
    box: float = 0.0
    seed: int = 0
    budget: int = 6_400
    batch_size: int = 64
    penalty: float = 0.01
    backward_cost: int = 2
    heads: HeadProtocol = "converged"
    snapshots: int = 25
    scored: int = 5
    controls: str = "last"
    baselines: str = "reweighing,leace-cells,balanced-subset"
    replicates: int = 2000
    tolerance: float = 1.0
    device: str = "auto"
    precision: str = "auto"
    quantize: int = 0
    max_cost: float = 0.0
    max_time: float = 0.0
    until: float = 0.0
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def most_scored(self) -> int:
        """The most edits that are scored."""
        return min(self.scored, self.snapshots)

    def __post_init__(self) -> None:
        """Gives numbers one type, and checks all that needs no files, plugins or devices.

        Raises:
            ConfigError: One or more fields are invalid; the message lists all of them.
        """
        for name in (*WHOLE, *NUMBERS, "quantize"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        for name, highest in NUMBERS.items():  # 2 and 2.0, or 0.0 and -0.0, must not make two runs
            if _is_number(value := getattr(self, name)) and 0 <= value <= highest:
                object.__setattr__(self, name, float(value) + 0.0)
        if _are_overrides(self.overrides):
            plain = {
                owner: {name: _plain(value) for name, value in values.items()}
                for owner, values in self.overrides.items()
            }
            object.__setattr__(self, "overrides", plain)
        if isinstance(self.data_root, str | os.PathLike):
            object.__setattr__(self, "data_root", str(expanded(self.data_root).absolute()))
        if _is_number(self.until) and self.until > 0 and _is_whole(self.snapshots):
            object.__setattr__(self, "scored", self.snapshots)
        broken = [
            f"{name} is {cut(getattr(self, name))}, but must be {rule}"
            for name, holds, rule in self._rules()
            if not holds
        ]
        if not broken:
            try:
                check_space_name(self.space)
            except ConfigError as error:
                broken.append(str(error))
        broken += [
            f"overrides go to {', '.join(OWNERS)}, not to {cut(owner)}{nearest(owner, OWNERS)}"
            for owner in (self.overrides if _are_overrides(self.overrides) else ())
            if owner not in OWNERS
        ]
        if broken:
            raise ConfigError("; ".join(broken))

    def _rules(self) -> Iterator[tuple[str, bool, str]]:
        """Yields (field name, whether the field keeps its rule, rule)."""
        for name, (low, high) in WHOLE.items():
            value = getattr(self, name)
            holds = _is_whole(value) and low <= value <= high
            yield name, holds, f"a whole number from {low} to {high:,}"
        for name, highest in NUMBERS.items():
            value = getattr(self, name)
            yield (
                name,
                _is_number(value) and 0 <= value <= highest,
                f"a number from 0 to {highest:,.0f}",
            )
        for name in TEXTS:
            rule = f"a name of 1 to {MAX_NAME_CHARACTERS:,} printable characters"
            yield name, _is_name(getattr(self, name)), rule
        root = self.data_root
        yield "data_root", root is None or isinstance(root, str), "the path of a folder"
        rule = f"parameters by owner and name, at most {MAX_OVERRIDES:,}"
        yield "overrides", _are_overrides(self.overrides), rule
        if _is_whole(self.batch_size) and self.batch_size <= WHOLE["batch_size"][1]:
            enough = not _is_whole(self.budget) or not 1 <= self.budget < self.batch_size
            rule = f"at least one evaluation, so {self.batch_size} queries (batch_size images)"
            yield "budget", enough, rule
        device = re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", str(self.device))
        yield "device", device is not None, "auto, cpu or cuda:N"
        bits = _is_whole(self.quantize) and self.quantize in (0, 8)
        yield "quantize", bits, "8, or 0 for exact floats"
        rule = (
            f"names of methods with commas between them, at most {MAX_NAME_CHARACTERS:,} characters"
        )
        names = self.baselines
        yield "baselines", isinstance(names, str) and (not names or _is_name(names)), rule
        choices = (
            ("heads", PROTOCOLS),
            ("precision", ("auto", "fp32", "bf16")),
            ("controls", CONTROLS),
        )
        for name, allowed in choices:
            value = getattr(self, name)
            holds = isinstance(value, str) and value in allowed
            yield name, holds, "one of " + ", ".join(allowed)

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """The names of the no-query baselines, without repetitions."""
        if self.baselines.strip() == "none":
            return ()
        names = (name.strip() for name in self.baselines.split(","))
        return tuple(dict.fromkeys(name for name in names if name))

    def changed(self, **fields: Any) -> RunConfig:
        """A copy of the config with other values of these fields, checked."""
        return dataclasses.replace(self, **fields)

    def with_settings(self, owner: str, **values: Any) -> RunConfig:
        """A copy of the config with further overrides of an owner's parameters."""
        settings = {**self.overrides.get(owner, {}), **values}
        return self.changed(overrides={**self.overrides, owner: settings})

    def as_dict(self) -> dict[str, Any]:
        """The config as a JSON object."""
        return dataclasses.asdict(self)

    def canonical(self) -> dict[str, Any]:
        """The config for identities: baselines without blanks, ``scored`` at most ``snapshots``."""
        spelled = {"baselines": ",".join(self.baseline_names), "scored": self.most_scored}
        return {**self.as_dict(), **spelled}


def _plain(value: object) -> object:
    """A number of NumPy, which JSON cannot hold, as Python's; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_overrides(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and all(isinstance(owner, str) for owner in value)
        and all(isinstance(values, Mapping) for values in value.values())
        and all(isinstance(name, str) for values in value.values() for name in values)
        and sum(map(len, value.values())) <= MAX_OVERRIDES
    )


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_NAME_CHARACTERS
        and value.isprintable()
        and bool(value.strip())
    )


def config_from_json(values: Mapping[str, Any]) -> RunConfig:
    """A config from the JSON object that :meth:`RunConfig.as_dict` made.

    Raises:
        ConfigError: The object has an unknown field.
    """
    names = {declared.name for declared in dataclasses.fields(RunConfig)}
    for name in values:
        if name not in names:
            raise ConfigError(f"the config has an unknown field {name!r}{nearest(name, names)}")
    return RunConfig(**values)


def parse_overrides(
    settings: list[str], owners: tuple[str, ...] = OWNERS
) -> dict[str, dict[str, str]]:
    """Parses ``["optimizer.step=0.02"]`` to ``{"optimizer": {"step": "0.02"}}``.

    Raises:
        ConfigError: A setting is not of the form ``owner.name=value``, or its owner is unknown.
    """
    overrides: dict[str, dict[str, str]] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        owner, dot, name = path.strip().partition(".")
        if not (equals and dot and name):
            bare = equals and path.isidentifier() and path not in OWNERS and value
            usual = "optimizer.step=0.02" if "optimizer" in owners else f"{owners[0]}.NAME=VALUE"
            such = cut(f"{owners[0]}.{setting}") if bare else usual
            raise ConfigError(
                f"--set {cut(setting)} is not of the form owner.name=value, e.g. {such} (owners: "
                f"{', '.join(owners)})"
            )
        if owner not in owners:
            raise ConfigError(
                f"--set goes to {', '.join(owners)}, not to {cut(owner)}{nearest(owner, owners)}"
            )
        values = overrides.setdefault(owner, {})
        if name in values:
            raise ConfigError(
                f"--set {owner}.{name} is given twice, as {cut(values[name])} and {cut(value.strip())}; "
                "give it once"
            )
        values[name] = value.strip()
    return overrides
