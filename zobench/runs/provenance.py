"""The manifest of a new run: versions, revision, machine, plugins, digests, split."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from zobench.oracle.ledger import Ledger
from zobench.problem.split import Split
from zobench.records.manifest import Manifest, SplitRecord
from zobench.registry.discovery import distribution_version

from .parts import Parts

LIBRARIES = ("zobench", "torch", "timm", "nevergrad", "numpy", "scipy")


def new_manifest(parts: Parts, *, recorded: bool = False) -> Manifest:
    """The manifest of a run that has not begun; records everything that could change the result.

    Args:
        parts: The parts of the run.
        recorded: Whether the run will store all answers of the oracle.
    """
    resolved = parts.resolved
    versions = {"python": platform.python_version()}
    for name in (*LIBRARIES, *resolved.plugins.values()):
        versions[name] = distribution_version(name)
    return Manifest(
        config=resolved.config,
        parameters=resolved.parameters,
        feedback=parts.feedback,
        encoder=parts.encoder.spec,
        local=None if parts.local is None else parts.local.spec,
        dataset=parts.dataset.spec,
        split=_split_record(parts),
        plugins=resolved.plugins,
        versions=versions,
        machine={
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "processor": platform.processor(),
        },
        git_revision=_git_revision(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recorded=recorded,
        ledger=Ledger(resolved.config.backward_cost).as_dict(),
    )


def _split_record(parts: Parts) -> SplitRecord:
    records, split = parts.dataset.records, parts.split
    label, sensitive = records.label[split.train], records.sensitive[split.train]
    return SplitRecord(
        digest=split_digest(split),
        train=len(split.train),
        test=len(split.test),
        test_patients=len(np.unique(records.patient[split.test])),
        train_positive_rate=tuple(float(label[sensitive == a].mean()) for a in (0, 1)),
        bias=split.bias,
        dataset_positive_rate=tuple(
            float(records.label[records.sensitive == a].mean()) for a in (0, 1)
        ),
    )


def split_digest(split: Split) -> str:
    """Digest of the rows of a split."""
    return hashlib.blake2b(split.train.tobytes() + split.test.tobytes(), digest_size=8).hexdigest()


@cache
def _git_revision() -> str:
    """Git revision of the source tree that zobench runs from; empty if git does not track it."""
    folder = Path(__file__).parent
    tracked = ["git", "-C", str(folder), "ls-files", "--error-unmatch", Path(__file__).name]
    revision = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    commit = ""
    for command in (tracked, revision):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode != 0:
            return ""
        commit = done.stdout.strip()
    return commit
