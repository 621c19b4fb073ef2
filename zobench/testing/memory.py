"""Peak memory of an optimizer, measured as resident memory of a fresh process.

Counters inside Python miss the allocations of torch, so the operating system is asked. Linux can
reset the recorded peak of a process. macOS cannot: it shows only memory above the earlier peak, so
measure one optimizer per call there. On Windows ``peaks`` raises an ``AssertionError``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry
from zobench.runs.resolved import resolve_plugin
from zobench.runs.search_parts import build_optimizer, feedback_of

from .toy import ToyOracle

ROUNDS = 2
SECONDS = 120
ROOM = 4 * 2**30


def peaks(
    names: Sequence[str],
    side: int,
    overrides: Mapping[str, object] | None = None,
    rounds: int = ROUNDS,
) -> dict[str, int]:
    """Bytes that each optimizer adds to the memory of one fresh process.

    On Linux the process may take at most ``ROOM`` more bytes, so the machine keeps enough memory.

    Args:
        names: Names of optimizers, as given to ``--optimizer``; measured one after another.
        side: Points are ``(1, side, side)``.
        overrides: Parameters other than the defaults.
        rounds: Number of asks and answers that are measured.

    Returns:
        Bytes by optimizer name; 0 for an optimizer that refuses the dimension.

    Raises:
        AssertionError: The process failed or took too long, or the system is Windows.
    """
    if sys.platform == "win32":
        raise AssertionError("peak memory is not measured on Windows; check this on Linux or macOS")
    code = "import sys; from zobench.testing.memory import report; report(*sys.argv[1:])"
    words = [json.dumps(list(names)), str(side), json.dumps(dict(overrides or {})), str(rounds)]
    command = [sys.executable, "-W", "ignore", "-c", code, *words]
    # a fixed low threshold makes glibc return freed memory at once
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment = {**kept, "MALLOC_MMAP_THRESHOLD_": "65536"}
    seconds = SECONDS * len(names)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"making it and {rounds} rounds took more than {seconds} s") from error
    if done.returncode < 0:
        raise AssertionError(f"its process was killed by signal {-done.returncode}")
    if done.returncode > 0:
        raise AssertionError(f"a fresh process failed: {done.stderr[-500:]}")
    measured: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(names: str, side: str, overrides: str, rounds: str) -> None:
    """Measures and prints the peaks inside the fresh process; all arguments are JSON."""
    settings = json.loads(overrides)
    _limit_memory()
    print(
        json.dumps(
            {name: _peak(name, int(side), settings, int(rounds)) for name in json.loads(names)}
        )
    )


def _peak(name: str, side: int, overrides: Mapping[str, object], rounds: int) -> int:
    plugin = resolve_plugin("optimizer", name, overrides, load_registry())
    level = feedback_of(plugin)
    build_optimizer(plugin, ToyOracle(feedback=level).context(0)).ask()  # imports what it needs
    context = ToyOracle(side, feedback=level).context(0)
    _forget_peak()
    before, files = resident_peak(), _held_of_files()
    try:
        optimizer = build_optimizer(plugin, context)
    except ConfigError:
        return 0
    for number in range(rounds):
        ask = optimizer.ask()
        optimizer.tell(ask, _any_answer(ask, number, context))
        optimizer.recommend()
        del ask
    # code of libraries that is used for the first time is not the optimizer's
    return resident_peak() - before - max(0, _held_of_files() - files)


def _any_answer(ask: Ask, number: int, context: OptimizerContext) -> Answer:
    """A well-formed answer that needs little memory apart from a gradient."""
    import torch

    count = len(ask.points)
    values = torch.linspace(1.0, 0.0, count, dtype=torch.float64) - number
    gradients = torch.ones_like(ask.points) if ask.want == "gradient" else None
    if context.client is None:
        return Answer(values)
    rows = ask.rows
    if rows is None:
        rows = np.zeros((count, ask.images_each(context.batch_size)), dtype=np.int64)
    return Answer(values, context.client.clean[torch.from_numpy(rows)], gradients, rows)


def _limit_memory() -> None:
    """Limits the private memory of this process to ``ROOM`` more bytes (Linux only)."""
    held = _status("VmData")
    if held is not None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = held + ROOM
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the recorded peak


def _held_of_files() -> int:
    """Bytes of mapped files, such as libraries, that this process holds; 0 where it is not known."""
    return _status("RssFile") or 0


def _status(name: str) -> int | None:
    """A number of bytes that Linux tells of this process; ``None`` elsewhere."""
    status = Path("/proc/self/status")
    match = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return None if match is None else int(match[1]) * 1024


def resident_peak() -> int:
    """Most bytes of memory that this process has held at a time.

    On Linux ``ru_maxrss`` is wrong: it includes the peak of the parent process.
    """
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
