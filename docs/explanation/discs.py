"""Scores an edit made by hand: a bright disc over each breast. See calibration.md.

python docs/explanation/discs.py edema 0
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

import zobench
from zobench.optimizers import Answer, Ask, OptimizerContext
from zobench.plugins import Offer, Registry, load_registry
from zobench.stateful import Stateful

SCALE, MIDDLE, RADIUS, BRIGHTNESS = 224, (0.5, 0.33), 0.3, 0.6


class Discs(Stateful):
    """Spends one evaluation and recommends the discs."""

    feedback = "value"

    def __init__(self, context: OptimizerContext) -> None:
        axis = torch.linspace(-1, 1, SCALE)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        inside = (x.abs() - MIDDLE[0]) ** 2 + (y - MIDDLE[1]) ** 2 < RADIUS**2
        self.edit = BRIGHTNESS * inside.float()[None]

    def ask(self) -> Ask:
        """The discs."""
        return Ask(self.edit[None], np.zeros(1, dtype=np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Nothing to learn."""

    def recommend(self) -> torch.Tensor:
        """The discs."""
        return self.edit


def main(disease: str, seed: int) -> None:
    """Prints ERM's row and the discs' row."""
    offers = dict(load_registry().offers)
    offer = Offer("discs", zobench.Plugin(Discs, "an edit made by hand", label="value"), "docs")
    offers["optimizers"] = {**offers["optimizers"], "discs": offer}
    result = zobench.run(
        optimizer="discs",
        disease=disease,
        seed=seed,
        budget=64,
        snapshots=1,
        out=Path("runs"),
        registry=Registry(offers),
    )
    for score in result.scores:
        cells = [f"{name} {score.metrics[name].value:.1f}" for name in ("eo_n", "eo_p", "accuracy")]
        print(
            f"seed {seed}, {score.queries} queries: {', '.join(cells)}, "
            f"refitted SA {score.sa_refitted:.1f}, recovery {score.recovery.value:.2f} "
            f"[{score.recovery.low:.2f}, {score.recovery.high:.2f}], L {score.objective:.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
