"""What is left of the gap where a square of every image is black, as an 8-bit edit can make it.

    python docs/explanation/covered_squares.py --encoder efficientnet-lite0

For each of 4 x 4 squares: the share of the gap of a refitted disease head that is gone, and the points
of errors that are added, on balanced training images, each predicted by a head fitted without it.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from encoder_slopes import CHUNK, Slopes
from torch import Tensor
from zobench_plugins.optimizers.paid_checks import Cells

from zobench.problem.images import slices
from zobench.problem.quantization import RoundedEncoder

SQUARES = 4
"""Squares down and across."""


def main() -> None:
    """Prints a row of squares in a line, from the top."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--disease", default="edema")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=900)
    parser.add_argument("--images", type=int, default=320, help="balanced training images, at most")
    wanted = parser.parse_args()
    slopes = Slopes.of(wanted.encoder, wanted.disease, wanted.seed, wanted.cohort, 10**6)
    films, encoder = slopes.films, RoundedEncoder(slopes.parts.encoder)
    labels: Any = SimpleNamespace(
        label=torch.from_numpy(films.label), sensitive=torch.from_numpy(films.sensitive)
    )
    cells = Cells.of(labels)
    rows = cells.balanced(wanted.images, np.random.default_rng(wanted.seed))

    def embedded(edit: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat(
                [
                    encoder.embed(films.batch(rows[part]) + edit).cpu()
                    for part in slices(len(rows), CHUNK)
                ]
            )

    _, height, width = slopes.parts.encoder.spec.image_shape
    clean = cells.rates(embedded(torch.zeros(1, 1, height, width)), rows)
    assert clean is not None
    print(f"{wanted.encoder}, seed {wanted.seed}: gap {clean.gap:.2f}, errors {clean.error:.2f}")
    for down in range(SQUARES):
        line = []
        for across in range(SQUARES):
            edit = torch.zeros(1, 1, SQUARES, SQUARES)
            edit[..., down, across] = -1.0
            black = torch.nn.functional.interpolate(edit, (height, width), mode="nearest")
            left = cells.rates(embedded(black), rows)
            assert left is not None
            added = 100 * (left.error - clean.error)
            line.append(f"{1 - left.gap / clean.gap:+.2f} ({added:+.1f})")
        print("  ".join(line), flush=True)


if __name__ == "__main__":
    main()
