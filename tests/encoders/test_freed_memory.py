"""Freed memory stays in the process: the next batch causes next to no page faults."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from zobench_encoders.freed_memory import keep_freed_memory
if sys.argv[1] == "raised":
    print(keep_freed_memory())
torch.set_num_threads(1)
def batch():
    large = torch.ones(6_000_000)
    return float((large * 2 + torch.ones(3_000_000).repeat(2)).sum())
for _ in range(4):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    batch()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 8)
"""


TRIES = 4
"""Processes of which one must have few faults: a kernel that takes pages back only adds to them."""


def faults(mode: str, **variables: str) -> tuple[list[str], float]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env={**own, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    *said, number = done.stdout.split()
    return said, float(number)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_page_faults_of_large_tensors_end() -> None:
    _, usual = faults("usual")
    assert usual > 100
    most = usual / 4  # 0 on a quiet machine
    for _ in range(TRIES):
        said, raised = faults("raised")
        assert said == ["True"]
        if raised < most:
            break
    assert raised < most


def test_the_users_own_options_stay() -> None:
    said, _ = faults("raised", MALLOC_TRIM_THRESHOLD_="131072")
    assert said == ["False"]
