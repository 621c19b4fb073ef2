"""The contract of an executor: an engine that carries out the runs of a suite.

An executor is given jobs while it has capacity and says how each job ended. It repeats nothing and
knows no order; :mod:`zobench.suite.running` does. It is registered by ``zobench_register_executors``
and made as ``target(request, parameters)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from zobench.errors import ConfigError

DEFAULT = "local"
GIB = 1024**3


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
            ConfigError: Names the option, its value and the rule.
        """
        if self.cpus is not None and self.cpus < 1:
            raise ConfigError(f"--cpus-per-run is {self.cpus}, but must be at least 1")
        for name, value in (("gpus", self.gpus), ("memory", self.memory)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"--{name}-per-run is {value:g}, but must be at least 0")
        if self.gpus > 1 and self.gpus % 1:
            raise ConfigError(
                f"--gpus-per-run is {self.gpus:g}, but must be a share of one GPU or a whole number"
            )


@dataclass(frozen=True)
class ExecutorRequest:
    """The user's request to an executor.

    Attributes:
        out: Folder of run folders.
        shared: Whether workers write run folders there; otherwise they publish runs to a URL.
        jobs: Runs at a time; ``None`` to leave the number to the executor.
        resources: The share of a machine for each run.
        distributions: Versions of zobench and of all plugins here; workers need the same.
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
            ConfigError: It is not positive.
        """
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"--jobs is {self.jobs}, but must be at least 1")


@dataclass(frozen=True)
class Progress:
    """The position of a run, as a worker tells it.

    Attributes:
        phase: Name of the phase; empty before the first one.
        done: Units of the phase that are over.
        total: Length of the phase in units; 0 where it is not known.
        figures: Latest figures, such as ``objective``.
        since: When the phase began, in seconds of the clock.
        at: When the worker told this, in seconds of the clock.
        process: Number of the worker's process; 0 before the first phase.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    since: float = 0.0
    at: float = 0.0
    process: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


OutcomeState = Literal["done", "failed", "interrupted", "busy", "lost"]
"""``failed``: the run's own fault; ``lost``: a fault of the machinery, so the run is submitted again;
``busy``: another process writes to the run folder."""


@dataclass(frozen=True)
class Outcome:
    """The end of a job.

    Attributes:
        state: How it ended.
        error: Why the run is not done; empty if it is.
        notes: Lines for the user, of a run that ended.
    """

    state: OutcomeState
    error: str = ""
    notes: Sequence[str] = ()


Job = TypeVar("Job")
"""A run of a suite and where it lies: :class:`zobench.suite.planning.Job`."""


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
            ExecutorError: The engine as a whole is gone.
        """
        ...

    def progress(self, job: Job) -> Progress | None:
        """The position of a job's run; ``None`` if it is not known (yet)."""
        ...

    def cancel(self) -> None:
        """Asks all jobs to stop soon and save their state; they still come back."""
        ...

    def close(self) -> None:
        """Ends everything at once."""
        ...
