"""Whole runs in a second: a tiny encoder and dataset beside the built-in plugins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conftest import TinyDataset, TinyEncoder

import zobench
from zobench.plugins import Offer, Registry, load_registry
from zobench.registration import Plugin

SIZES = {"split": {"train": 120, "test_per_cell": 40}}


def tiny_registry(encoder: Any = None, optimizer: Any = None) -> Registry:
    """The real registry with a tiny encoder and dataset beside the built-in ones."""
    offers: dict[Any, Mapping[str, Offer]] = dict(load_registry().offers)

    def add(kind: str, name: str, target: Any) -> None:
        offers[kind] = {**offers[kind], name: Offer(name, Plugin(target, "test"), "tests")}

    add("encoders", "tiny", encoder or (lambda request: TinyEncoder()))
    add("datasets", "tiny", lambda request: TinyDataset())
    if optimizer is not None:
        add("optimizers", "mine", optimizer)
    return Registry(offers)


def run(
    tmp_path: Path, registry: Registry | None = None, **fields: Any
) -> zobench.results.RunResult:  # type: ignore[name-defined]
    settings: dict[str, Any] = {
        "encoder": "tiny",
        "dataset": "tiny",
        "disease": "spots",
        "budget": 400,
        "batch_size": 10,
        "replicates": 50,
        "overrides": {**SIZES, "optimizer": {"samples": 2}},
        **fields,
    }
    return zobench.run(out=tmp_path, registry=registry or tiny_registry(), **settings)
