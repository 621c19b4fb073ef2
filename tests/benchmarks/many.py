"""What benchmarks of many runs share: a suite of short runs, and folders like those of real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from zobench.files.json_files import read_json, write_json
from zobench.records import layout

SHORT = """
optimizers = [{names}]
seeds = {seeds}
[run]
budget = 640
batch_size = 32
replicates = 200
[split]
train = 200
test_per_cell = 50
"""
"""A suite file: ``names`` of optimizers as TOML, and how many ``seeds``."""


def copies(original: Path, tmp_path: Path, optimizers: int, seeds: int) -> Path:
    """Folders like those of real runs, made from one, that seem to be of many optimizers and seeds."""
    manifest = read_json(original / layout.MANIFEST)
    for optimizer in range(optimizers):
        for seed in range(seeds):
            folder = tmp_path / "runs" / f"{optimizer}-{seed}"
            shutil.copytree(original, folder)
            manifest["config"] |= {"optimizer": f"optimizer-{optimizer}", "seed": seed}
            write_json(folder / layout.MANIFEST, manifest)
    return tmp_path / "runs"
