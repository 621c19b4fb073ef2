"""Threads that wait for one another soon sleep, so that other programs can have their cores.

In GNU's OpenMP library, which torch computes with, a thread that waits for another one spins for
milliseconds. Beside other programs, the thread that it waits for may then find no free core.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = 1000
"""Rounds of a loop after which a waiting thread sleeps; the library's own number is 300,000."""

FEW_CORES = 4
"""Most cores for which this is done: what it costs to wake many threads was not measured."""

CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables with which a user has chosen already."""


def usable_cores() -> int | None:
    """Cores that this process may run on, but for a quota of a container, which is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def sleep_soon(variables: MutableMapping[str, str], cores: int | None) -> None:
    """Sets ``GOMP_SPINCOUNT``, which the library reads when torch is loaded.

    Args:
        variables: The environment of the process, which its child processes inherit, and jobs that it
            submits where their scheduler hands the environment on.
        cores: The number of cores that the process may use; ``None`` where it is not known.
    """
    if cores is not None and cores <= FEW_CORES and not any(name in variables for name in CHOSEN):
        variables["GOMP_SPINCOUNT"] = str(SPINS)
