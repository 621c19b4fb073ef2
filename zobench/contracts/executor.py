"""What an executor is: the seam for engines that carry out the runs of a suite.

An executor is given jobs while it has capacity and says how each ended. It retries nothing and knows
no order; :mod:`zobench.suite.running` does. It is registered by ``zobench_register_executors`` and
made as ``target(request, parameters)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zobench.errors import ConfigError
from zobench.suite.planning import Job
from zobench.suite.work import Outcome, Progress

DEFAULT = "local"
GIB = 1024**3


@dataclass(frozen=True)
class Resources:
    """What one run is given.

    Attributes:
        cpus: Cores; ``None`` to leave it to the executor.
        gpus: GPUs, or a share of one; 0 for none.
        memory: GiB; 0 to leave it to the executor.
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
    """What the user asked of an executor.

    Attributes:
        out: Folder of run folders.
        shared: Whether run folders must be written there; otherwise they are published to a URL.
        jobs: Runs at a time; ``None`` to leave it to the executor.
        resources: Of each run.
        distributions: Versions of zobench and of all plugins here; workers need the same.
        note: Tells the user something that must not be missed.
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


class Executor(Protocol):
    """Carries out jobs, somewhere."""

    @property
    def capacity(self) -> int:
        """Jobs that may be submitted now."""
        ...

    def submit(self, job: Job) -> None:
        """Starts a job, or puts it into the engine's queue."""
        ...

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Jobs that ended, waiting at most ``timeout`` seconds for the first.

        A job whose worker, node or queue was lost is ``lost``: it will be submitted again.

        Raises:
            ExecutorError: The engine as a whole is gone.
        """
        ...

    def progress(self, job: Job) -> Progress | None:
        """Where a job stands; ``None`` if that is not known (yet)."""
        ...

    def cancel(self) -> None:
        """Asks all jobs to stop soon and save their state; they still come back."""
        ...

    def close(self) -> None:
        """Ends everything at once."""
        ...
