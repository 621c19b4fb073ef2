"""Presets of the paper's experiment: quick (minutes on two cores), full (paper settings)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zobench.config import RunConfig
from zobench.contracts.head import HeadProtocol

from .published import DISEASES, METHODS

SAMPLES = 10
"""C, perturbations in an iteration of GeZO; each is tried in both directions."""


@dataclass(frozen=True)
class Preset:
    """The sizes of the paper's experiment.

    Attributes:
        name: The name of the preset, as given to ``--preset``.
        seeds: The number of seeds.
        train: Training images; 0 for the default of the split.
        test_per_cell: Test images in each cell of (y, a), by disease.
        batch_size: B, images per minibatch.
        epochs: Epochs of GeZO, each with R iterations of 2 C minibatches.
        iterations: R, iterations per epoch, for the table.
        heads: Protocol of the heads.
        methods: Rows of the table.
        diseases: Blocks of the table.
        ablated: Disease of Fig. 2.
        penalties: lambda on the axis of Fig. 2a.
        ablated_epochs: Epochs of GeZO for both panels of Fig. 2.
        local_iterations: R on the axis of Fig. 2b.
        settings: Parameters of methods, by method.
    """

    name: str
    seeds: int
    train: int
    test_per_cell: Mapping[str, int]
    batch_size: int
    epochs: int
    heads: HeadProtocol
    ablated_epochs: int
    iterations: int = 10
    methods: tuple[str, ...] = (*METHODS, "dne:kalman")
    diseases: tuple[str, ...] = DISEASES
    ablated: str = "pleural_effusion"
    penalties: tuple[float, ...] = (0.0, 0.001, 0.01, 0.1, 1.0)
    local_iterations: tuple[int, ...] = (2, 5, 10, 20)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def budget(self, epochs: int, iterations: int) -> int:
        """The queries of GeZO for the given epochs and iterations per epoch."""
        return epochs * iterations * 2 * SAMPLES * self.batch_size

    def config(self, base: RunConfig, disease: str, seed: int) -> RunConfig:
        """The config of one problem of the table; other fields are as in ``base``."""
        overrides: dict[str, Any] = {name: dict(values) for name, values in base.overrides.items()}
        per_cell = self.test_per_cell.get(disease, max(self.test_per_cell.values()))
        split = {"test_per_cell": per_cell, "bias": "amplified", **overrides.get("split", {})}
        if self.train:
            split = {"train": self.train, **split}
        return base.changed(
            disease=disease,
            seed=seed,
            budget=self.budget(self.epochs, self.iterations),
            batch_size=self.batch_size,
            heads=self.heads,
            snapshots=1,
            controls="none",
            baselines="",
            overrides={**overrides, "split": split},
        )


QUICK = Preset(
    name="quick",
    seeds=3,
    train=320,
    test_per_cell=dict.fromkeys(DISEASES, 80),
    batch_size=16,
    epochs=1,
    heads="converged",
    ablated_epochs=1,
    settings={"biasadv": {"steps": 3}},
)
"""The preset for a quick test: minutes on two cores."""

FULL = Preset(
    name="full",
    seeds=3,
    train=0,
    test_per_cell={"pleural_effusion": 200, "pneumonia": 100, "edema": 200},
    batch_size=64,
    epochs=50,
    heads="paper",
    ablated_epochs=50,
)
"""The settings that the paper states: 50 epochs, R = 10, 100 or 200 test images per cell."""

PRESETS = {preset.name: preset for preset in (QUICK, FULL)}
