"""Makes the table of eight-bits.md: optimizers with exact floats and with 8-bit pixels, seed by seed.

    python docs/explanation/eight_bits.py runs/bits --jobs 2

Runs that are done are only read, interrupted ones go on; so it may be stopped at any time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import joblib
import numpy as np

import zobench
from zobench.records.stored_run import StoredRun
from zobench.runs.lifecycle import carry_out

ENTRIES = (
    ("gezo", "pixel"),
    ("kalman", "pixel"),
    ("patch-search", "lowres:14"),
    ("openai-es", "lowres:14"),
    ("sep-cma", "lowres:14"),
    ("spsa-gc", "lowres:14"),
)
SPLIT = {"train": 400, "test_per_cell": 150}


def run(out: Path, optimizer: str, space: str, seed: int, bits: int) -> StoredRun:
    """One run under the conditions of the quick suite, .github/gate/suite.toml."""
    config = zobench.RunConfig(
        optimizer=optimizer,
        space=space,
        seed=seed,
        quantize=bits,
        budget=2560,
        batch_size=32,
        overrides={"split": SPLIT},
    )
    return carry_out(config, out / f"{optimizer}-{space.replace(':', '_')}-{seed}-{bits}")


def row(optimizer: str, space: str, exact: list[StoredRun], rounded: list[StoredRun]) -> str:
    """Means over seeds, and the differences with the least and the largest seed."""
    cells = [optimizer, space]
    before, after = (
        [stored.fpq.value for stored in runs if stored.fpq] for runs in (exact, rounded)
    )
    cells += [f"{np.mean(values):.3f}" for values in (before, after)]
    differences = np.subtract(after, before)
    cells.append(f"{np.mean(differences):+.3f} ({min(differences):+.3f} … {max(differences):+.3f})")
    ends = [(a.recovery or 0.0, b.recovery or 0.0) for a, b in zip(exact, rounded, strict=True)]
    cells += [f"{np.mean([pair[i] for pair in ends]):.2f}" for i in (0, 1)]
    last = [stored.scores[-1].sent for stored in rounded]
    cells.append(f"{np.mean([clipped.changed for clipped in last if clipped]):.0%}")
    cells.append(f"{np.mean([clipped.distortion for clipped in last if clipped]):.0%}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    wanted = parser.parse_args()
    tasks = [
        (wanted.out, *entry, seed, bits)
        for seed in range(wanted.seeds)
        for entry in ENTRIES
        for bits in (0, 8)
    ]
    results = joblib.Parallel(n_jobs=wanted.jobs)(joblib.delayed(run)(*task) for task in tasks)
    by_task = dict(zip((task[1:] for task in tasks), results, strict=True))
    print(
        "| optimizer | space | FPQ, exact | FPQ, 8-bit | difference | recovery, exact "
        "| recovery, 8-bit | pixels changed | distortion |"
    )
    print("| --- " * 9 + "|")
    for entry in ENTRIES:
        pairs = [[by_task[(*entry, seed, bits)] for seed in range(wanted.seeds)] for bits in (0, 8)]
        print(row(*entry, *pairs))


if __name__ == "__main__":
    main()
