"""Shared by benchmarks of many runs: a suite of short runs, and copies of a run folder."""

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
"""A suite file with the optimizers ``names``, as TOML, and the number of ``seeds``."""


def copies(original: Path, tmp_path: Path, optimizers: int, seeds: int) -> Path:
    """Copies a run folder once per optimizer and seed; only the config in the manifest differs."""
    manifest = read_json(original / layout.MANIFEST)
    for optimizer in range(optimizers):
        for seed in range(seeds):
            folder = tmp_path / "runs" / f"{optimizer}-{seed}"
            shutil.copytree(original, folder)
            manifest["config"] |= {"optimizer": f"optimizer-{optimizer}", "seed": seed}
            write_json(folder / layout.MANIFEST, manifest)
    return tmp_path / "runs"
