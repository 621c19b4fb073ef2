"""Chooses runs among mixed ones: by conditions, or those under the same ones of which most are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson

from zobench.config import RunConfig
from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError

from .comparability import OF_A_PROBLEM, differing_values
from .stored_run import StoredRun

LABEL, STATUS, FEEDBACK = "label", "status", "feedback"
KEYS = (
    *(field.name for field in fields(RunConfig) if field.name != "overrides"),
    LABEL,
    STATUS,
    FEEDBACK,
)
"""What a condition may name: a field of the config, the label, the run status, the feedback level."""


OF_A_MACHINE = ("data_root", "device", "precision", "max_cost", "max_time")
"""Fields of a config in which a suite's run may differ from the suite."""

NAMED = 3
"""Most runs that are named in a sentence on what was left out."""


@dataclass(frozen=True)
class Where:
    """A condition on runs: the value of a key, as text.

    Attributes:
        key: One of ``KEYS``.
        value: The value.
    """

    key: str
    value: str

    @classmethod
    def parsed(cls, text: str) -> Where:
        """A condition from ``KEY=VALUE``.

        Raises:
            ConfigError: The text has another form, or the key is unknown.
        """
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise ConfigError(f"--where is {text!r}, but must be KEY=VALUE, e.g. budget=6400")
        if key not in KEYS:
            raise ConfigError(
                f"--where names {key!r}, which runs do not have{nearest(key, KEYS)}; known: "
                f"{', '.join(KEYS)}"
            )
        return cls(key, value)

    def holds(self, run: StoredRun) -> bool:
        """Whether a run has the value; numbers may be written as 6400, 6,400 or 6400.0."""
        there = value_of(run, self.key)
        return there == self.value or _number(there) == _number(self.value) is not None


def value_of(run: StoredRun, key: str) -> str:
    """A run's value of a key, as text."""
    if key in (LABEL, STATUS, FEEDBACK):
        return str(getattr(run, key))
    if key == "scored":  # as conditions compare it
        return str(run.config.most_scored)
    return str(getattr(run.config, key))


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


@dataclass(frozen=True)
class Choice:
    """Which runs are meant.

    Attributes:
        where: Conditions that must all hold.
        configs: The configs of the runs, as a suite declares them; ``None`` for any.
        parameters: Gives the parameters of such a config, defaults included, as a manifest has them;
            for runs whose parameters were typed otherwise. ``None`` if they must be typed the same.
    """

    where: Sequence[Where] = ()
    configs: Sequence[RunConfig] | None = None
    parameters: Callable[[RunConfig], Mapping[str, Any]] | None = None

    def of(self, runs: Sequence[StoredRun]) -> list[StoredRun]:
        """The runs that are meant.

        Raises:
            ConfigError: None is; the message lists the values that are there.
        """
        kept = list(runs)
        if self.configs is not None:
            declared = defaultdict(list)
            for config in self.configs:
                declared[_declared(config)].append(config)
            kept = [run for run in kept if self._is_one_of(run, declared[_declared(run.config)])]
            if not kept:
                raise ConfigError(
                    "no run there is one of the suite's; run it, or name another folder or suite"
                )
        for condition in self.where:
            there = sorted({value_of(run, condition.key) for run in kept})
            kept = [run for run in kept if condition.holds(run)]
            if not kept:
                raise ConfigError(
                    f"no run has {condition.key}={condition.value}; there are: {', '.join(there)}"
                )
        return kept

    def _is_one_of(self, run: StoredRun, configs: Sequence[RunConfig]) -> bool:
        """Whether a run has the parameters of one of the configs that are else like its own."""
        if any(config.overrides == run.config.overrides for config in configs):
            return True
        if self.parameters is None:
            return False
        mine = _plain(run.manifest.parameters)
        return any(_plain(self.parameters(config)) == mine for config in configs)


ANY = Choice()


def _declared(config: RunConfig) -> bytes:
    """A config without its parameters, and without what may differ between machines."""
    left_out = (*OF_A_MACHINE, "overrides")
    return _plain({k: value for k, value in config.canonical().items() if k not in left_out})


def _plain(values: Mapping[str, Any]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS, default=str)


def most_finished(
    runs: Sequence[StoredRun], size: Callable[[Sequence[StoredRun]], int] = len
) -> tuple[list[StoredRun], list[str]]:
    """The group of runs on each problem that share all conditions and of which most are done.

    Of equal groups, the larger one, then the one with the newest run is taken.

    Args:
        runs: Runs of any conditions.
        size: How much a group is worth.

    Returns:
        The runs in their order, and a sentence on each group that was left out.
    """
    by_problem: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_problem[run.problem].append(run)
    kept: set[int] = set()
    notes: list[str] = []
    for problem, members in by_problem.items():
        groups: dict[Hashable, list[StoredRun]] = defaultdict(list)
        for run in members:
            groups[_conditions(run)].append(run)
        best = max(groups.values(), key=lambda group: _worth(group, size))
        others = [group for group in groups.values() if group is not best]
        notes += [_left_out(problem, group, best[0]) for group in others]
        kept |= {id(run) for run in best}
    return [run for run in runs if id(run) in kept], notes


def _worth(
    group: Sequence[StoredRun], size: Callable[[Sequence[StoredRun]], int]
) -> tuple[int, int, int, str]:
    done = [run for run in group if run.done]
    return size(done), size(group), len(group), max(map(_newest, group))


def _conditions(run: StoredRun) -> Hashable:
    values = [condition.of(run) for condition in OF_A_PROBLEM]
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS, default=str)


def _newest(run: StoredRun) -> str:
    return run.manifest.created


def without_repetitions(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[str]]:
    """One run of each problem, optimizer and seed: the newest that is done, or that got furthest.

    Of runs that are done, those that had their whole budget at once come first.

    Returns:
        The runs in their order, and a sentence on what was left out.
    """
    best: dict[tuple[str, str, int], StoredRun] = {}
    for run in runs:
        key = (run.problem, run.label, run.config.seed)
        other = best.get(key)
        if other is None or _standing(run) > _standing(other):
            best[key] = run
    chosen = {id(run) for run in best.values()}
    others = [run for run in runs if id(run) not in chosen]
    plural = "run" if len(others) == 1 else "runs"
    names = ", ".join(str(run.location) for run in others[:NAMED])
    more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
    note = f"left out {len(others)} other {plural} of the same optimizer and seed: {names}{more}"
    return [run for run in runs if id(run) in chosen], [note] if others else []


def _standing(run: StoredRun) -> tuple[bool, bool, int, str]:
    whole = run.done and not run.manifest.cut_by and not run.manifest.extended
    return run.done, whole, 0 if run.done else run.spent, _newest(run)


def cautions(runs: Iterable[StoredRun]) -> list[str]:
    """Sentences on finished runs that had not the budget of the others, or had it in pieces."""
    done = [run for run in runs if run.done]
    cut = [run for run in done if run.manifest.cut_by]
    extended = [run for run in done if run.manifest.extended]
    notes = []
    if cut:
        limits = " and ".join(sorted({run.manifest.cut_by for run in cut}))
        notes.append(
            f"{limits} ended {in_words(cut)} before the budget: what was recommended then counts "
            "to the end of it"
        )
    if extended:
        notes.append(
            f"extended when scores were known: {in_words(extended)}; where these decided how far to go, "
            "the comparison is not fair"
        )
    return notes


def in_words(runs: Sequence[StoredRun]) -> str:
    """How many runs these are, and of which optimizers."""
    labels = ", ".join(sorted({run.label for run in runs}))
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} ({labels})"


def _left_out(problem: str, group: Sequence[StoredRun], kept: StoredRun) -> str:
    first = group[0]
    for condition in OF_A_PROBLEM:
        here, there = condition.of(first), condition.of(kept)
        if here != there:
            which = "" if any(run.done for run in group) else "unfinished "
            count = f"1 {which}run" if len(group) == 1 else f"{len(group)} {which}runs"
            how = f"; --where {condition.key}={here} chooses them" if condition.key in KEYS else ""
            this, that = differing_values(here, there)
            return f"{problem}: left out {count} whose {condition.words} is {this}, not {that}{how}"
    raise AssertionError("groups differ in a condition")
