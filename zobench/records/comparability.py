"""The conditions that two runs must share before their optimizers can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zobench.errors import ConfigError

from .identity import arithmetic
from .stored_run import StoredRun


@dataclass(frozen=True)
class Condition:
    """One condition that compared runs must share.

    Attributes:
        key: The condition's name in baselines.
        words: The condition's name in messages.
        of: Returns the condition's value for a run.
        of_a_seed: Whether only runs with the same problem and seed must share the condition.
    """

    key: str
    words: str
    of: Callable[[StoredRun], object]
    of_a_seed: bool = False


CONDITIONS = (
    Condition("budget", "budget", lambda run: run.config.budget),
    Condition("batch_size", "batch size", lambda run: run.config.batch_size),
    Condition("penalty", "penalty", lambda run: run.config.penalty),
    Condition("backward_cost", "backward cost", lambda run: run.config.backward_cost),
    Condition("heads", "head protocol", lambda run: run.config.heads),
    Condition("snapshots", "number of snapshots", lambda run: run.config.snapshots),
    Condition("scored", "number of scored edits", lambda run: run.config.most_scored),
    Condition("replicates", "number of replicates", lambda run: run.config.replicates),
    Condition("tolerance", "tolerance", lambda run: run.config.tolerance),
    Condition("until", "recovery to stop at", lambda run: run.config.until),
    Condition("box", "box", lambda run: run.config.box),
    Condition("arithmetic", "arithmetic", lambda run: arithmetic(run.manifest)),
    Condition(
        "encoder_parameters",
        "set of encoder parameters",
        lambda run: run.manifest.parameters["encoder"],
    ),
    Condition(
        "split_parameters",
        "set of split parameters",
        lambda run: run.manifest.parameters["split"],
    ),
    Condition("encoder_digest", "encoder digest", lambda run: run.manifest.encoder.digest),
    Condition("dataset_digest", "dataset digest", lambda run: run.manifest.dataset.digest),
    Condition("split_digest", "split digest", lambda run: run.manifest.split.digest, True),
)

OF_A_PROBLEM = tuple(rule for rule in CONDITIONS if not rule.of_a_seed)


def require_comparable(
    one: StoredRun, other: StoredRun, conditions: Sequence[Condition] = CONDITIONS
) -> None:
    """Refuses two runs under different conditions.

    Raises:
        ConfigError: The two runs differ in a condition.
    """
    for condition in conditions:
        here, there = condition.of(one), condition.of(other)
        if here != there:
            this, that = differing_values(here, there)
            raise ConfigError(
                f"{one.location} and {other.location} cannot be compared: the {condition.words} is "
                f"{this} in one and {that} in the other; name runs that have it in common"
            )


def differing_values(here: object, there: object) -> tuple[str, str]:
    """Two different values for a message; of two mappings, the entries that differ."""
    if not (isinstance(here, Mapping) and isinstance(there, Mapping)):
        return str(here), str(there)
    absent = object()
    keys = [key for key in {**here, **there} if here.get(key, absent) != there.get(key, absent)]

    def told(values: Mapping[str, object]) -> str:
        return ", ".join(f"{key}={values[key]}" for key in keys if key in values) or "without them"

    return told(here), told(there)


def require_same_conditions(runs: Iterable[StoredRun]) -> None:
    """Refuses runs of one problem under different conditions.

    Raises:
        ConfigError: Two of the runs differ in a condition.
    """
    problems: dict[str, StoredRun] = {}
    seeds: dict[tuple[str, int], StoredRun] = {}
    for run in runs:
        require_comparable(problems.setdefault(run.problem, run), run, OF_A_PROBLEM)
        require_comparable(seeds.setdefault((run.problem, run.config.seed), run), run)
