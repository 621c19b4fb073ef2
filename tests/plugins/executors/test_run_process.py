"""The end of a run's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path("/dev/shm")
RUN = """
from joblib import Parallel, delayed

from zobench_plugins.executors.run_process import leave

assert Parallel(n_jobs=2)(delayed(abs)(each) for each in (-1, 1)) == [1, 1]
leave(0)
"""


@pytest.mark.skipif(not SHARED.is_dir(), reason="where Linux keeps shared memory")
def test_a_process_that_leaves_takes_its_workers_semaphores_and_folders_with_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.communicate(timeout=120)[1]
    assert (process.returncode, said) == (0, "")
    owner = f"{process.pid}"
    left = [
        each.name for each in SHARED.iterdir() if owner in each.name.replace("_", "-").split("-")
    ]
    assert left == []
