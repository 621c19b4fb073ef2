"""What could change the result of a run: versions, revision, machine, plugins, digests, split."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .assembly import Parts


def provenance(parts: Parts) -> dict[str, Any]:
    """What could change the result: versions, revision, machine, plugins, digests, split."""
    versions = {"python": platform.python_version()}
    for name in (
        "zobench",
        "torch",
        "timm",
        "nevergrad",
        "numpy",
        "scipy",
        *parts.plugins.values(),
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return {
        "versions": versions,
        "git_revision": _git_revision(),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "processor": platform.processor(),
        },
        "plugins": parts.plugins,
        "feedback": parts.optimizer.feedback,
        "encoder": asdict(parts.encoder.spec),
        "dataset": asdict(parts.dataset.spec),
        "split": _split_notes(parts),
    }


def _split_notes(parts: Parts) -> dict[str, Any]:
    records, split = parts.dataset.records, parts.split
    label, sensitive = records.label[split.train], records.sensitive[split.train]
    return {
        "train": len(split.train),
        "test": len(split.test),
        "test_patients": len(np.unique(records.patient[split.test])),
        "train_positive_rate": [float(label[sensitive == group].mean()) for group in (0, 1)],
    }


def _git_revision() -> str:
    """Revision of the source tree that zobench runs from; empty where it is installed."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
