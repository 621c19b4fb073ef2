"""Problems that take a second, for tests of methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiny import SIZES, tiny_registry
from zobench_plugins.paper.problem import Problem
from zobench_plugins.paper.solved import Solved

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.registry.discovery import Registry
from zobench.runs.shared_parts import SharedParts

TRAIN, TEST = 120, 160


def config(**fields: Any) -> RunConfig:
    settings: dict[str, Any] = {"budget": 200, "batch_size": 10, "replicates": 50, "snapshots": 1}
    names = {"encoder": "tiny", "dataset": "tiny", "disease": "spots"}
    return RunConfig(**{**settings, **names, "overrides": SIZES, **fields})


@contextmanager
def problem_of(config: RunConfig, out: Path, registry: Registry) -> Iterator[Problem]:
    with SharedParts(registry, Silence()) as shared:
        yield Problem(config, out, shared)


def solve(tmp_path: Path, *methods: str, encoder: Any = None, **fields: Any) -> list[Solved]:
    registry = tiny_registry(encoder=encoder)
    with problem_of(config(**fields), tmp_path, registry) as problem:
        return [problem.solve(method) for method in methods]
