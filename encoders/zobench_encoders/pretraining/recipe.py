"""The recipe: all settings of the pre-training; the weights file stores them as metadata."""

from __future__ import annotations

from dataclasses import dataclass

from zobench.contracts.parameters import parameter


@dataclass(frozen=True)
class Recipe:
    """All settings of the pre-training; the same films and machine give the same weights."""

    seed: int = parameter(
        0, "seed of initial weights, batches, masks and augmentation", low=0, high=4_294_967_295
    )
    masked_steps: int = parameter(2000, "steps of the first stage, masked autoencoding", low=0)
    described_steps: int = parameter(3500, "steps of the second stage, describing films", low=0)
    batch: int = parameter(64, "films per step", low=2, high=65_536)
    folder_share: float = parameter(
        0.25, "share of each batch that comes from --images, if given", low=0, high=0.9
    )
    mask_ratio: float = parameter(
        0.75, "share of patches hidden in the first stage (He et al. 2022)", low=0.05, high=0.95
    )
    learning_rate: float = parameter(1.5e-3, "peak of the cosine schedule of either stage", low=0)
    weight_decay: float = parameter(0.05, "weight decay of AdamW, on matrices only", low=0)
    warmup: int = parameter(200, "steps of linear warm-up at the start of either stage", low=1)
    label_weight: float = parameter(
        0.5, "weight of the phantom's labels beside the film's own description", low=0
    )
    patients: int = parameter(
        2400, "phantom patients per finding to learn from", low=8, high=1_000_000
    )
    cohort: int = parameter(
        101,
        "first phantom cohort to learn from, one a finding; the benchmark's is 0",
        low=1,
        high=2_147_483_647,
    )
