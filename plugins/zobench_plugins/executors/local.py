"""The executor for one machine: worker processes of loky."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from zobench.contracts.executor import ExecutorRequest, Outcome, Progress
from zobench.errors import ConfigError
from zobench.suite.attempts import attempt, progress_folder
from zobench.suite.planning import Job
from zobench.suite.work import read_progress, work

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ORPHAN_SECONDS = 1.0
SAVE_SECONDS = 20.0
"""Seconds to finish a batch after the parent died, and again to save the run's state."""

_at_work = threading.Lock()
"""Held in a worker while it carries out a job."""


class LocalExecutor:
    """Worker processes on this machine, by loky; each runs one job at a time.

    Every worker has its own loky pool, because a killed worker breaks its whole pool.
    """

    def __init__(self, request: ExecutorRequest) -> None:
        """Starts no process; the cores are divided among the jobs unless ``request`` sets them.

        Raises:
            ConfigError: The request asks for GPUs or memory, which only Ray and SLURM assign.
        """
        import joblib

        if request.resources.gpus or request.resources.memory:
            raise ConfigError(
                "--gpus-per-run and --memory-per-run are for --executor ray or slurm; here all runs "
                "share the machine: choose --jobs to fit, and the GPU by device under [run]"
            )
        jobs = request.jobs or 1
        threads = request.resources.cpus or max(1, joblib.cpu_count() // jobs)
        self._workers = [_Worker(threads) for _ in range(jobs)]

    @property
    def capacity(self) -> int:
        """Idle workers."""
        return sum(worker.at is None for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Gives a job to an idle worker."""
        next(worker for worker in self._workers if worker.at is None).start(job)

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Jobs that ended; one whose worker died is ``lost``."""
        futures = [worker.at[1] for worker in self._workers if worker.at is not None]
        if futures:
            wait(futures, timeout, FIRST_COMPLETED)
        else:
            time.sleep(timeout)
        for worker in self._workers:
            if worker.at is not None and worker.at[1].done():
                yield worker.finish(*worker.at)

    def progress(self, job: Job) -> Progress | None:
        """The progress that the worker wrote to its file."""
        return read_progress(_told_in(job))

    def cancel(self) -> None:
        """Sends SIGTERM to every busy worker."""
        for worker in self._workers:
            if worker.at is not None:
                worker.interrupt()

    def close(self) -> None:
        """Kills all worker processes."""
        for worker in self._workers:
            worker.close()


def carry_out(job: Job) -> Outcome:
    """Carries out a job: in its run folder, or in an attempt folder if the job has a URL."""
    with _at_work:
        return attempt(job) if job.url else work(job)


def _told_in(job: Job) -> os.PathLike[str]:
    return progress_folder(job) if job.url else job.folder


class _Worker:
    """A worker process, with its current job and the future of the job's outcome."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ProcessPoolExecutor | None = None
        self._process: Future[int] = Future()
        self.at: tuple[Job, Future[Outcome]] | None = None

    def start(self, job: Job) -> None:
        try:
            if self._pool is None:
                self._pool = self._new_pool()
                self._process = self._pool.submit(os.getpid)  # does not wait for the process
            future = self._pool.submit(carry_out, job)
        except Exception as error:  # it died while it was idle, or could not be started
            future = Future()
            future.set_exception(error)
        self.at = job, future

    def _new_pool(self) -> ProcessPoolExecutor:
        from loky import ProcessPoolExecutor

        threads = str(self._threads)
        return ProcessPoolExecutor(
            max_workers=1,
            initializer=_prepare,
            initargs=(os.getpid(), self._threads),
            env={**dict.fromkeys(THREAD_VARIABLES, threads), "LOKY_MAX_CPU_COUNT": threads},
        )

    def finish(self, job: Job, future: Future[Outcome]) -> tuple[Job, Outcome]:
        self.at = None
        try:
            return job, future.result()
        except Exception as error:  # loky has several errors for a dead worker
            self.close()
            return job, Outcome("lost", f"its worker process died ({type(error).__name__})")

    def interrupt(self) -> None:
        """Sends SIGTERM to the process of the job; loky may have replaced the first process."""
        if self.at is None:
            return
        now = read_progress(_told_in(self.at[0])) or Progress()
        with suppress(ProcessLookupError, BrokenExecutor):
            os.kill(now.process or self._process.result(), signal.SIGTERM)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


def _prepare(parent: int, threads: int) -> None:
    """Prepares a worker process: it ignores Ctrl-C, and ends if its parent has ended."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threading.Thread(target=_stop_when_orphaned, args=(parent,), daemon=True).start()


def _stop_when_orphaned(parent: int) -> None:
    """If the parent has ended: sends SIGTERM, so that the run saves its state, then SIGKILL."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    for _ in range(2):  # the second one does not wait for the batch
        os.kill(os.getpid(), signal.SIGTERM)
        if _at_work.acquire(timeout=SAVE_SECONDS):
            break
    os.kill(os.getpid(), signal.SIGKILL)
