"""The executor for SLURM, by submitit: one job array for the runs submitted together.

submitit writes the scripts and task files of the jobs to ``.submitit`` in the folder of run
folders. All nodes must share the filesystem of this folder. Each job writes the outcome of its run
to a file, so SLURM's accounting is not needed.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zobench.contracts.executor import ExecutorRequest, Outcome, Progress
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, ExecutorError, StoreError
from zobench.files.json_files import read_json, write_json
from zobench.records.standing import is_done
from zobench.suite.attempts import attempt, progress_folder
from zobench.suite.planning import Job
from zobench.suite.work import read_progress

FOLDER = ".submitit"
ARRAY = 1000
"""Jobs of one array; SLURM's own default limit is 1,001."""

ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)
LOOK_SECONDS = 5.0
"""Seconds between two calls of squeue, because many users share SLURM's controller."""

CONTROLLER_WAIT = 300.0
"""Seconds until a refused array is submitted again, and until a note on a silent controller."""

CANCELLED = "somebody has cancelled its job; the next call submits it again"

REQUEUES = 1000
"""Largest number of requeues of a job; after a time-out the run resumes from its state."""


@dataclass(frozen=True)
class SlurmParameters:
    """Options for sbatch."""

    partition: str = parameter("", "partition; empty for SLURM's default")
    gres: str = parameter("", "generic resources of each run, e.g. gpu:1")
    array_max: int = parameter(
        0, "jobs of the array that run at a time; 0 for no limit", low=0, high=100_000
    )
    minutes: int = parameter(
        240,
        "time limit of a job in minutes; a longer run is requeued and resumes",
        low=1,
        high=1_000_000,
    )
    extra: str = parameter("", "more of sbatch's options, e.g. account=lab,qos=low")


class SlurmExecutor:
    """Submits runs as job arrays; a job that timed out or was preempted is requeued."""

    def __init__(self, request: ExecutorRequest, parameters: SlurmParameters) -> None:
        """Submits nothing yet.

        Raises:
            ConfigError: submitit or SLURM is not installed, or an option is invalid.
        """
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "executor 'slurm' needs submitit: python -m pip install 'zobench[slurm]'"
            ) from error
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise ConfigError(
                "executor 'slurm' needs sbatch and srun, which are not here; call zobench on a login "
                "node of the cluster"
            )
        resources = request.resources
        if resources.gpus % 1:
            raise ConfigError(
                f"--gpus-per-run is {resources.gpus:g}, but SLURM gives whole GPUs; give a whole number"
            )
        self._cpus = resources.cpus or 1
        self._jobs = request.jobs
        # srun finds its files by absolute paths only
        self._folder = request.out.resolve() / FOLDER
        self._engine = submitit.AutoExecutor(
            self._folder, cluster="slurm", slurm_max_num_timeout=REQUEUES
        )
        self._engine.update_parameters(
            name="zobench",
            timeout_min=parameters.minutes,
            cpus_per_task=self._cpus,
            stderr_to_stdout=True,
            slurm_array_parallelism=parameters.array_max or ARRAY,
            slurm_additional_parameters=_options(parameters.extra),
            **({"slurm_partition": parameters.partition} if parameters.partition else {}),
            **({"slurm_gres": parameters.gres} if parameters.gres else {}),
            **({"gpus_per_node": int(resources.gpus)} if resources.gpus else {}),
            **({"mem_gb": resources.memory} if resources.memory else {}),
        )
        self._waiting: list[Job] = []
        self._at: dict[str, tuple[Job, Path]] = {}
        self._array_max = parameters.array_max
        self._note = request.note
        self._looked = self._submit_at = 0.0
        self._answered = time.monotonic()
        self._cancelled = False

    @property
    def capacity(self) -> int:
        """Free places for runs: ``--jobs`` minus submitted runs, or a full array."""
        held = len(self._waiting) + len(self._at)
        return (self._jobs or held + ARRAY) - held

    def submit(self, job: Job) -> None:
        """Adds a run to the next array."""
        self._waiting.append(job)

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Submits the waiting runs as one array, then yields the runs that ended.

        Raises:
            ExecutorError: SLURM refuses the array.
        """
        now = time.monotonic()
        if now >= self._submit_at and not self._cancelled:
            self._submit_next()
        time.sleep(timeout)
        if now - self._looked < LOOK_SECONDS and not self._cancelled:
            return
        self._looked = now
        states = self._states()
        if states is None:
            self._complain(now)
            return
        self._answered = now
        for name, (job, told) in list(self._at.items()):
            state = states.get(name, "COMPLETED")  # SLURM forgets jobs minutes after their end
            if state in ENDED:
                del self._at[name]
                outcome = self._outcome(job, told, state)
                if outcome.state != "interrupted" or self._cancelled:
                    yield job, outcome
                elif state == "CANCELLED":
                    yield job, Outcome("failed", CANCELLED)
                else:
                    self._waiting.append(job)  # preempted; the run has saved its state
        while self._cancelled and self._waiting:
            yield self._waiting.pop(), Outcome("interrupted")

    def _submit_next(self) -> None:
        """Submits the next array if ``array_max`` allows it.

        Raises:
            ExecutorError: SLURM refuses the array while no other job is queued.
        """
        if not self._waiting or (self._array_max and len(self._at) >= self._array_max):
            return
        try:
            self._submit(self._waiting[:ARRAY])
            del self._waiting[:ARRAY]
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            if not self._at:
                raise ExecutorError(f"SLURM does not take the job array: {error}") from error
            self._submit_at = (
                time.monotonic() + CONTROLLER_WAIT
            )  # other jobs are queued: try again later

    def _complain(self, now: float) -> None:
        """Prints a note if SLURM's controller gives no answer; jobs run on without it."""
        if now - self._answered > CONTROLLER_WAIT:
            self._answered = now
            self._note(
                f"SLURM has not answered squeue for {CONTROLLER_WAIT / 60:.0f} minutes; still waiting"
            )

    def _submit(self, jobs: Sequence[Job]) -> None:
        told = [self._folder / "outcomes" / f"{secrets.token_hex(8)}.json" for _ in jobs]
        placed = [replace(job, folder=job.folder.resolve()) for job in jobs]
        tasks = [Task(job, path, self._cpus) for job, path in zip(placed, told, strict=True)]
        submitted = self._engine.submit_array(tasks)
        for job, held, path in zip(jobs, submitted, told, strict=True):
            self._at[held.job_id] = job, path

    def _states(self) -> dict[str, str] | None:
        """The state of every job that SLURM still knows; ``None`` if SLURM does not answer."""
        arrays = ",".join(sorted({name.partition("_")[0] for name in self._at}))
        if not arrays:
            return {}
        words = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
        try:
            listing = subprocess.run(
                [*words, f"--jobs={arrays}"], capture_output=True, text=True, check=True, timeout=60
            )
        except subprocess.CalledProcessError as error:
            return {} if "Invalid job id" in error.stderr else None
        except (OSError, subprocess.TimeoutExpired):
            return None
        rows = (line.split() for line in listing.stdout.splitlines())
        return {row[0]: row[1] for row in rows if len(row) > 1}

    def _outcome(self, job: Job, told: Path, state: str) -> Outcome:
        with suppress(StoreError, TypeError):
            return Outcome(**read_json(told))
        if is_done(job.folder):
            return Outcome("done")
        if self._cancelled:
            return Outcome("interrupted")
        if state == "CANCELLED":
            return Outcome("failed", CANCELLED)
        return Outcome("lost", f"its job ended as {state}; see {self._folder}")

    def progress(self, job: Job) -> Progress | None:
        """The progress that the job wrote to its file."""
        return read_progress(progress_folder(job))

    def cancel(self) -> None:
        """Cancels every job; one that runs saves its run's state before it ends."""
        self._cancelled = True
        if arrays := sorted({name.partition("_")[0] for name in self._at}):
            with suppress(OSError):
                subprocess.run(["scancel", *arrays], capture_output=True, check=False)

    def close(self) -> None:
        """Cancels all jobs that are left."""
        if not self._cancelled:
            self.cancel()


class Task:
    """The callable that a SLURM job runs; after a time-out submitit passes it to the next job."""

    def __init__(self, job: Job, told: Path, threads: int) -> None:
        """Keeps what the job needs.

        Args:
            job: The run.
            told: The file to which the job writes the outcome of the run.
            threads: Cores of the job.
        """
        self._job, self._told, self._threads = job, told, threads
        self._requeued = False

    def __call__(self) -> None:
        """Carries the run to its end, or to where SLURM ends the job.

        Raises:
            SystemExit: submitit ended the job amid the run, which is no outcome of the run.
        """
        import torch

        self._requeued = False
        self._told.unlink(missing_ok=True)  # of this task before it was requeued
        torch.set_num_threads(self._threads)
        outcome = attempt(self._job)
        if self._requeued:
            raise SystemExit(f"requeued amid the run: {outcome.error}")
        write_json(self._told, asdict(outcome))

    def checkpoint(self) -> Any:
        """Called by submitit on a time-out: submits this task again, and the run resumes."""
        from submitit.helpers import DelayedSubmission

        self._requeued = True
        return DelayedSubmission(self)


def _options(text: str) -> dict[str, str]:
    options = {}
    for option in filter(None, text.split(",")):
        name, equals, value = option.strip().removeprefix("--").partition("=")
        if not equals:
            raise ConfigError(
                f"executor.extra holds {option!r}, but must hold name=value, e.g. account=lab,qos=low"
            )
        options[name] = value
    return options
