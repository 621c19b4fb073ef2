"""The runs that the paper's table and figures need, and their results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.config import RunConfig
from zobench.contracts.metric import Metric
from zobench.errors import ConfigError
from zobench.files.names import require_plain_path
from zobench.measures.interval import Interval, interval
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry
from zobench.runs.shared_parts import SharedParts

from .presets import Preset
from .problem import Problem
from .solved import Solved

DNE = "dne:"
NOISES = {"DNE": "dne:adam", "DNE-GeZO": "dne:gezo"}
"""The methods whose noise Fig. 3 and 4 show, by their titles in the paper."""
FORMULA = "di_gap"
"""The metric of the paper's formula; only the paper's table shows it."""
Cell = tuple[str, str]
"""Method and disease."""


@dataclass(frozen=True)
class Entry:
    """A method on a disease, over all seeds.

    Attributes:
        method: The name of the method.
        disease: The name of the disease.
        metrics: Means over seeds, in percent.
        queries: Mean queries by purpose.
        seeds: The number of seeds.
    """

    method: str
    disease: str
    metrics: Mapping[str, Interval]
    queries: Mapping[str, float]
    seeds: int


class Study:
    """One preset on one dataset and encoder; results are kept in one folder and reused."""

    def __init__(self, preset: Preset, base: RunConfig, out: Path, shared: SharedParts) -> None:
        """Loads nothing yet."""
        self.preset, self.base, self.out = preset, base, out
        self._shared = shared

    def problems(self, diseases: Iterable[str] | None = None) -> list[RunConfig]:
        """One config per disease and seed."""
        chosen = self.preset.diseases if diseases is None else diseases
        return [
            self.preset.config(self.base, disease, seed)
            for disease in chosen
            for seed in range(self.preset.seeds)
        ]

    def table_runs(self) -> list[RunConfig]:
        """The runs behind the table's rows that learn noise."""
        return [
            problem.changed(optimizer=method.removeprefix(DNE))
            for problem in self.problems()
            for method in self.preset.methods
            if method.startswith(DNE)
        ]

    def penalty_runs(self) -> dict[float, list[RunConfig]]:
        """The runs of Fig. 2a: white-box noise at each lambda."""
        budget = self.preset.budget(self.preset.ablated_epochs, self.preset.iterations)
        return {
            penalty: [
                problem.changed(optimizer="adam", penalty=penalty, budget=budget)
                for problem in self.problems([self.preset.ablated])
            ]
            for penalty in self.preset.penalties
        }

    def iteration_runs(self) -> dict[int, list[RunConfig]]:
        """The runs of Fig. 2b: GeZO at each R; the epochs are equal, so a larger R costs more."""
        preset = self.preset
        return {
            iterations: [
                self._gezo(problem, iterations) for problem in self.problems([preset.ablated])
            ]
            for iterations in preset.local_iterations
        }

    def _gezo(self, problem: RunConfig, iterations: int) -> RunConfig:
        """GeZO with R iterations per epoch; the preset's R gives the same run as the table."""
        budget = self.preset.budget(self.preset.ablated_epochs, iterations)
        config = problem.changed(optimizer="gezo", budget=budget)
        if iterations == self.preset.iterations:
            return config
        return config.with_settings("optimizer", iterations=iterations)

    def solve(self, methods: Sequence[str], problems: Sequence[RunConfig]) -> list[Solved]:
        """The results of methods on problems; stored results are read again."""
        solved = []
        for config in problems:
            problem = Problem(config, self.out, self._shared)
            for method in methods:
                settings = self.preset.settings.get(method.partition(":")[0])
                solved.append(problem.solve(method, settings))
        return solved

    def table(self) -> list[Entry]:
        """Every row of the table in every block."""
        return self.entries(self.solve(self.preset.methods, self.problems()))

    def ablation(self, runs: Mapping[Any, Sequence[RunConfig]]) -> dict[Any, Entry]:
        """The entry of each point of an axis."""
        by_point = {}
        for point, configs in runs.items():
            solved = [
                answer
                for config in configs
                for answer in self.solve([DNE + config.optimizer], [config])
            ]
            (by_point[point],) = self.entries(solved)
        return by_point

    @property
    def source(self) -> str:
        """The method whose noise is tested on other problems: DNE, or the first row with noise."""
        learning = [method for method in self.preset.methods if method.startswith(DNE)]
        if not learning:
            raise ConfigError(
                "no row learns noise, so there is none to show; add --method dne:gezo"
            )
        return NOISES["DNE"] if NOISES["DNE"] in learning else learning[0]

    def source_runs(self) -> list[RunConfig]:
        """The runs whose noise is tested on other problems."""
        optimizer = self.source.removeprefix(DNE)
        return [problem.changed(optimizer=optimizer) for problem in self.problems()]

    def shown_noises(self) -> dict[str, str]:
        """Methods whose noise Fig. 3 and 4 show, by title."""
        shown = {title: noise for title, noise in NOISES.items() if noise in self.preset.methods}
        return shown or {self.source: self.source}

    def shown_runs(self) -> list[RunConfig]:
        """The runs of Fig. 3 and 4."""
        problem = self.preset.config(self.base, self.preset.ablated, 0)
        return [
            problem.changed(optimizer=method.removeprefix(DNE))
            for method in self.shown_noises().values()
        ]

    def universality(self, targets: Sequence[RunConfig]) -> list[Entry]:
        """The entries of each disease's noise on each target, and of ERM.

        Args:
            targets: Configs of problems, with any disease and encoder.
        """
        seeds = {target.seed for target in targets}
        noises = {
            (disease, seed): self.noise(self.source, disease, seed)
            for disease in self.preset.diseases
            for seed in seeds
        }
        solved = []
        for target in targets:
            problem = Problem(target, self.out, self._shared)
            solved.append(problem.solve("erm"))
            for disease in self.preset.diseases:
                title = f"noise of {disease.replace('_', ' ')}"
                solved.append(problem.carry(noises[disease, target.seed], title))
        return self.entries(solved)

    def films(self, disease: str) -> tuple[NDArray[np.float32], tuple[str, str]]:
        """A test film without the finding per group, ``(2, H, W)``; the groups' names."""
        config = self.preset.config(self.base, disease, 0)
        return Problem(config, self.out, self._shared).films()

    def noise(self, method: str, disease: str, seed: int = 0) -> NDArray[np.float32]:
        """The noise ``(H, W)`` that a method has learnt."""
        (solved,) = self.solve([method], [self.preset.config(self.base, disease, seed)])
        name = str(solved.result.notes["run"])
        require_plain_path(name, str(self.out))
        run = StoredRun(self.out / name)
        return np.asarray(run.edit_after(run.snapshots[-1])[0].numpy())

    @property
    def columns(self) -> tuple[Metric, ...]:
        """The metrics of the table, in order."""
        return table_columns(self._shared.registry)

    def entries(self, solved: Sequence[Solved]) -> list[Entry]:
        """Means over seeds with intervals over seeds and patients, in order of appearance."""
        return entries(solved, self.columns)


def table_columns(registry: Registry) -> tuple[Metric, ...]:
    """The metrics that tables show, and the metric of the paper's formula."""
    return tuple(
        metric for metric in registry.metrics if metric.in_tables or metric.name == FORMULA
    )


def entries(solved: Sequence[Solved], columns: Sequence[Metric]) -> list[Entry]:
    """Means over seeds with intervals over seeds and patients, in order of appearance."""
    groups: dict[Cell, list[Solved]] = defaultdict(list)
    for solution in solved:
        groups[solution.method, solution.config.disease].append(solution)
    rows = []
    for (method, disease), members in groups.items():
        metrics = {
            metric.name: interval([member.values(metric) for member in members], metric)
            for metric in columns
        }
        ledgers = [member.result.ledger for member in members]
        queries = {
            purpose: float(np.mean([ledger[purpose]["queries"] for ledger in ledgers]))
            for purpose in ledgers[0]
        }
        rows.append(Entry(method, disease, metrics, queries, len(members)))
    return rows
