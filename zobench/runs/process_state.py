"""State of the process that a plugin may change for everybody: checked and restored after a run.

In a suite every run has a process of its own. This check is for runs in one process: from Python,
in ``zobench paper``, and in a user's own tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

OWN = ("KMP_", "TORCHINDUCTOR_", "CRC32C_SW_MODE", "_RJEM_MALLOC_CONF", "_MLFLOW_TELEMETRY_")
"""Beginnings of environment variables that torch, OpenMP, tensorboardX and MLflow set for themselves."""

ENVIRONMENT = "the environment variables"

Restore = Callable[[Any], object]


@contextmanager
def restored_state(note: Callable[[str], None]) -> Iterator[None]:
    """Restores the state of the process after the block, and notes what the block had changed."""
    before = _state()
    try:
        yield
    finally:
        after = _state()
        changed = {
            name: _restored(restore, value)
            for name, (value, restore) in before.items()
            if _differs(value, after[name][0])
        }
        for restored, words in (
            (True, "this is restored, so that no other run is affected"),
            (False, "this cannot be restored, so start other runs in a new process"),
        ):
            if names := [name for name, back in changed.items() if back is restored]:
                if ENVIRONMENT in names:
                    old, new = before[ENVIRONMENT][0], after[ENVIRONMENT][0]
                    changes = sorted(key for key in old | new if old.get(key) != new.get(key))
                    names[names.index(ENVIRONMENT)] = f"{ENVIRONMENT} {', '.join(changes)}"
                note(f"a plugin changed {', '.join(names)} for the whole process; {words}")


def _state() -> Mapping[str, tuple[Any, Restore]]:
    """Values by name, each with the function that sets it."""
    import torch

    return {
        "the working directory": (_folder(), os.chdir),
        ENVIRONMENT: (_environment(), _set_environment),
        "torch's default dtype": (torch.get_default_dtype(), torch.set_default_dtype),
        "torch's threads": (torch.get_num_threads(), torch.set_num_threads),
        "torch's gradient mode": (torch.is_grad_enabled(), torch.set_grad_enabled),
        "torch's matrix precision": (
            torch.get_float32_matmul_precision(),
            torch.set_float32_matmul_precision,
        ),
        "torch's deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled(),
            torch.use_deterministic_algorithms,
        ),
        "NumPy's error handling": (np.geterr(), lambda value: np.seterr(**value)),
        "numpy.random.default_rng": (
            np.random.default_rng,
            lambda value: setattr(np.random, "default_rng", value),
        ),
        "the recursion limit": (sys.getrecursionlimit(), sys.setrecursionlimit),
    }


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # removed
        return ""


def _environment() -> dict[str, str]:
    """The environment without the variables that torch and OpenMP set when they are first used."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)}


def _set_environment(values: Mapping[str, str]) -> None:
    for name in _environment().keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


def _differs(before: object, now: object) -> bool:
    return before is not now and before != now


def _restored(restore: Restore, value: Any) -> bool:
    try:
        restore(value)
    except OSError:
        return False
    return True
