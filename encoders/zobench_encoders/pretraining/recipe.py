"""Every number of the pre-training, in one place; it travels with the weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What makes the same weights again, given the same films and machine.

    Attributes:
        seed: Seed of the initial weights, the batches, the masks and the augmentation.
        masked_steps: Length of the first stage, masked autoencoding.
        described_steps: Length of the second stage, describing whole films.
        batch: Films a step.
        folder_share: Share of each batch that comes from the folder of unlabelled films, if any.
        mask_ratio: Share of patches hidden in the first stage (He et al. 2022: 0.75).
        learning_rate: Peak of the cosine schedule of either stage.
        weight_decay: Of AdamW, on matrices only.
        warmup: Steps of linear warm-up at the start of either stage.
        label_weight: Weight of the phantom's labels (sex, finding, view, age) beside the film's own
            description in the second stage.
        patients: Phantom patients a finding to learn from.
        cohort: First phantom cohort to learn from; each finding has a cohort of its own, and none is
            the benchmark's (0).
    """

    seed: int = 0
    masked_steps: int = 4000
    described_steps: int = 4500
    batch: int = 64
    folder_share: float = 0.25
    mask_ratio: float = 0.75
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    label_weight: float = 0.3
    patients: int = 2400
    cohort: int = 101
