"""The contract of an executor: an engine that carries out the runs of a suite.

An executor accepts jobs while it has capacity and returns the outcome of each job. Retries and
job order are up to :mod:`zobench.suite.running`. ``zobench_register_executors`` registers it,
and ``target(request, parameters)`` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from zobench.errors import ConfigError, ExecutorError

from .parameters import cut

DEFAULT = "local"
GIB = 1024**3
MAX_JOBS = 1_000
MAX_CPUS, MAX_GPUS, MAX_MEMORY = 4_096, 1_024, 1_000_000
"""Largest share of a machine: cores, GPUs and GiB."""


@dataclass(frozen=True)
class Resources:
    """The share of a machine that one run is given.

    Attributes:
        cpus: Cores; ``None`` to leave the number to the executor.
        gpus: GPUs, or a share of one; 0 for none.
        memory: GiB; 0 to leave the amount to the executor.
    """

    cpus: int | None = None
    gpus: float = 0.0
    memory: float = 0.0

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ConfigError: A value breaks its rule.
        """
        if self.cpus is not None and not 1 <= self.cpus <= MAX_CPUS:
            raise ConfigError(f"--cpus-per-run is {self.cpus}, but must be from 1 to {MAX_CPUS:,}")
        for name, value, most in (
            ("gpus", self.gpus, MAX_GPUS),
            ("memory", self.memory, MAX_MEMORY),
        ):
            if not 0 <= value <= most:
                raise ConfigError(f"--{name}-per-run is {value:g}, but must be from 0 to {most:,}")
        if self.gpus > 1 and self.gpus % 1:
            raise ConfigError(
                f"--gpus-per-run is {self.gpus:g}, but must be a share of one GPU or a whole number"
            )


@dataclass(frozen=True)
class ExecutorRequest:
    """The user's request to an executor.

    Attributes:
        out: Folder of run folders.
        shared: Whether workers write to ``out``; otherwise workers publish runs to a URL.
        jobs: Runs at a time; ``None`` to leave the number to the executor.
        resources: The share of a machine for each run.
        distributions: Local versions of zobench and all plugins; workers need the same versions.
        note: Shows the user a line that must not be missed.
    """

    out: Path
    shared: bool = True
    jobs: int | None = None
    resources: Resources = field(default_factory=Resources)
    distributions: Mapping[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        """Checks the number of jobs.

        Raises:
            ConfigError: It is no whole number, or out of range.
        """
        require_jobs(self.jobs)


def require_jobs(jobs: int | None) -> None:
    """Refuses a number of runs at a time.

    Raises:
        ConfigError: It is no whole number, or out of range.
    """
    whole = isinstance(jobs, Integral) and not isinstance(jobs, bool)
    if jobs is not None and not (whole and 1 <= jobs <= MAX_JOBS):
        raise ConfigError(
            f"--jobs is {cut(jobs)}, but must be a whole number from 1 to {MAX_JOBS:,}"
        )


@dataclass(frozen=True)
class Progress:
    """The progress of a run, as reported by its worker.

    Attributes:
        phase: Name of the phase; empty before the first one.
        done: Finished units of the phase.
        total: Length of the phase in units; 0 where it is not known.
        figures: Latest figures, such as ``objective``.
        since: Start of the phase, in seconds since the epoch.
        at: Time of this report, in seconds since the epoch.
        process: Process ID of the worker; 0 before the first phase.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    since: float = 0.0
    at: float = 0.0
    process: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The progress as a JSON object."""
        return asdict(self)


OutcomeState = Literal["done", "failed", "interrupted", "busy", "lost"]
"""``failed``: a fault of the run; ``lost``: a fault of the executor, so the run is submitted again;
``busy``: another process writes to the run folder."""


@dataclass(frozen=True)
class Outcome:
    """The end of a job.

    Attributes:
        state: The state in which the job ended.
        error: The reason why the run is not done; empty if the run is done.
        notes: Lines for the user from a run that ended.
        exit_code: The exit code of the error, if the run failed; see :mod:`zobench.errors`.
    """

    state: OutcomeState
    error: str = ""
    notes: Sequence[str] = ()
    exit_code: int = ExecutorError.exit_code


Job = TypeVar("Job")
"""A run of a suite and its folder: :class:`zobench.suite.planning.Job`."""


class Executor(Protocol[Job]):
    """Carries out jobs on this machine or elsewhere."""

    @property
    def capacity(self) -> int:
        """Jobs that may be submitted now."""
        ...

    def submit(self, job: Job) -> None:
        """Starts a job, or puts it into the engine's queue."""
        ...

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Jobs that ended, waiting at most ``timeout`` seconds for the first.

        A job whose worker, node or queue was lost is ``lost``: the suite submits it again.

        Raises:
            ExecutorError: The whole executor is lost.
        """
        ...

    def progress(self, job: Job) -> Progress | None:
        """The position of a job's run; ``None`` if it is not known (yet)."""
        ...

    def cancel(self) -> None:
        """Asks all jobs to save their state and stop; :meth:`as_completed` still yields them."""
        ...

    def close(self) -> None:
        """Ends all jobs and workers at once."""
        ...
