"""GeZO through zobench beside two other loops, with the same network, films and machine.

The first is structured as the paper's public code: files, loader workers, three channels, one point
at a time. The second is nevergrad's own ``minimize``. Each loop has a process of its own, since zobench
keeps freed memory in its process, which would speed up the others too. ``ZOBENCH_FILMS`` names a folder
of PNG films; without it, phantom films are written as files.

``pytest tests/benchmarks/test_peers.py --benchmark-only -n 0 -s``
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nevergrad as ng
import numpy as np
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from test_overhead import config, make_loop
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from zobench_encoders.architecture import PIXEL_MEAN, PIXEL_STD
from zobench_encoders.vit_mae import bundled_trunk

from zobench.runs.loop import Loop

FILMS, BATCH, SAMPLES, WORKERS, SIDE = 200, 64, 10, 4, 224
BUDGET = 2 * SAMPLES * BATCH
ROUNDS = 5
STEP, PENALTY = 0.01, 0.01


class Files(Dataset[tuple[Tensor, int]]):
    """Films as colour pictures, read and resized when they are asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.open(self.paths[index]).convert("RGB").resize((SIDE, SIDE))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        return pixels, index % 2


class Network(torch.nn.Module):
    """The bundled network for three channels, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = bundled_trunk()
        self.head = torch.nn.Linear(176, 2)
        projection = self.encoder.trunk.patch_embed.proj
        projection.weight.data = projection.weight.data.repeat(1, 3, 1, 1) / 3
        projection.in_channels = 3

    def forward(self, images: Tensor) -> Tensor:
        standardised = (images - PIXEL_MEAN[0]) / PIXEL_STD[0]
        return self.head(self.encoder(standardised))  # type: ignore[no-any-return]


def loss(network: Network, images: Tensor, labels: Tensor, edit: Tensor) -> float:
    """The objective of one point on one minibatch."""
    value = -F.cross_entropy(network(images + edit), labels) + PENALTY * edit.norm()
    return float(value)


def public_loop(network: Network, paths: list[Path]) -> Callable[[], int]:
    """One epoch's loop over minibatches, each with its own pairs of points."""

    def run() -> int:
        edit, queries = torch.zeros(1, SIDE, SIDE), 0
        loader = DataLoader(Files(paths), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
        with torch.no_grad():
            for images, labels in loader:
                for _ in range(SAMPLES):
                    delta = STEP * torch.randn_like(edit)
                    plus = loss(network, images, labels, edit + delta)
                    minus = loss(network, images, labels, edit - delta)
                    edit = edit + delta if plus < minus else edit - delta
                    queries += 2 * len(images)
        return queries

    return run


def nevergrad_loop(network: Network, paths: list[Path]) -> Callable[[], int]:
    """``minimize`` of nevergrad with films in memory."""
    pairs = [Files(paths)[number] for number in range(BATCH)]
    images, labels = (
        torch.stack([each[0] for each in pairs]),
        torch.tensor([each[1] for each in pairs]),
    )

    def run() -> int:
        points = 2 * SAMPLES
        parameter = ng.p.Array(shape=(1, SIDE, SIDE)).set_mutation(sigma=STEP)
        optimizer = ng.optimizers.registry["OnePlusOne"](parameter, budget=points)

        def value(edit: Any) -> float:
            with torch.no_grad():
                return loss(network, images, labels, torch.from_numpy(edit).float())

        optimizer.minimize(value)
        return points * BATCH

    return run


def film_paths(folder: Path) -> list[Path]:
    """The films of the named folder, or those that :func:`write_films` wrote."""
    named = os.environ.get("ZOBENCH_FILMS")
    return sorted(Path(named or folder).glob("*.png"))[:FILMS]


def write_films(folder: Path, loop: Loop) -> None:
    """Writes phantom films as PNG files of 256 x 256 pixels."""
    for number, film in enumerate(loop.oracle.evaluator.images.pixels[:FILMS, 0]):
        Image.fromarray(film).resize((256, 256)).save(folder / f"{number}.png")


def zobench_loop(folder: Path) -> Callable[[], int]:
    """The same budget through the oracle; making the loop is not timed."""
    made: list[Loop] = [
        make_loop(config(SAMPLES, 3 * BUDGET), folder / f"run-{number}") for number in range(2)
    ]

    def run() -> int:
        loop = made.pop()
        loop.run()
        return loop.oracle.ledger.optimize.queries

    return run


def queries_per_second(name: str, folder: Path) -> float:
    """Queries per second of one loop, after a first round, in a new process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, name, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def test_queries_per_second_of_zobench_and_of_plain_loops(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """Alternates the three; prints medians and the ratios within each round."""
    write_films(tmp_path, make_loop(config(SAMPLES, BUDGET), tmp_path / "first"))
    rates: dict[str, list[float]] = {name: [] for name in ("zobench", "public", "nevergrad")}

    def alternate() -> None:
        for name, found in rates.items():
            found.append(queries_per_second(name, Path(tempfile.mkdtemp(dir=tmp_path))))

    benchmark.pedantic(alternate, rounds=ROUNDS, iterations=1)
    for name in ("public", "nevergrad"):
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(rates["zobench"], rates[name], strict=True)
        )
        benchmark.extra_info[f"zobench_over_{name}"] = ratio
        print(f"\n  zobench / {name} loop: {ratio:.2f}", end="")
    print(
        "".join(f"; {name} {statistics.median(each):.0f} queries/s" for name, each in rates.items())
    )


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    network, paths = Network().eval(), film_paths(folder.parent)
    loop = {
        "zobench": lambda: zobench_loop(folder),
        "public": lambda: public_loop(network, paths),
        "nevergrad": lambda: nevergrad_loop(network, paths),
    }[sys.argv[1]]()
    loop()
    started = time.perf_counter()
    count = loop()
    print(count / (time.perf_counter() - started))
