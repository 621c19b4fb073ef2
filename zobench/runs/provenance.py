"""What could change the result of a run: versions, revision, machine, plugins, digests, split."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .parts import Parts
from zobench.registry.discovery import distribution_version
from zobench.problem.split import Split


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
        versions[name] = distribution_version(name)
    return {
        "versions": versions,
        "git_revision": _git_revision(),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "processor": platform.processor(),
        },
        "plugins": dict(parts.plugins),
        "parameters": {owner: dict(values) for owner, values in parts.parameters.items()},
        "feedback": parts.optimizer.feedback,
        "encoder": _plain(asdict(parts.encoder.spec)),
        "dataset": _plain(asdict(parts.dataset.spec)),
        "split": _split_notes(parts),
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON will give it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _split_notes(parts: Parts) -> dict[str, Any]:
    records, split = parts.dataset.records, parts.split
    label, sensitive = records.label[split.train], records.sensitive[split.train]
    return {
        "digest": split_digest(split),
        "train": len(split.train),
        "test": len(split.test),
        "test_patients": len(np.unique(records.patient[split.test])),
        "train_positive_rate": [float(label[sensitive == group].mean()) for group in (0, 1)],
    }


def split_digest(split: Split) -> str:
    """Digest of the rows of a split."""
    return hashlib.blake2b(split.train.tobytes() + split.test.tobytes(), digest_size=8).hexdigest()


@cache
def _git_revision() -> str:
    """Revision of the source tree that zobench runs from; empty where it is installed."""
    folder = Path(__file__).parent
    tracked = ["git", "-C", str(folder), "ls-files", "--error-unmatch", Path(__file__).name]
    revision = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    found = ""
    for command in (tracked, revision):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode != 0:
            return ""
        found = done.stdout.strip()
    return found
