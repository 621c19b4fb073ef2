"""The executor for Ray: each run is a task of an existing or a new cluster.

Ray schedules the tasks. The executor reports a lost run to the suite, which submits the run again.
Ray's own retries are off: a retry would repeat progress that was reported already, and would not
notice that another process has finished the run.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

from zobench.contracts.executor import GIB, ExecutorRequest, Outcome, Progress
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, ExecutorError
from zobench.registry.failure import run_failure
from zobench.runs.signals import Stop
from zobench.suite.attempts import attempt, progress_folder
from zobench.suite.planning import Job
from zobench.suite.work import LatestProgress

from .ray_nodes import Node, check_nodes

STORE_BYTES = 90_000_000
"""Bytes of shared memory for Ray's object store, near Ray's minimum: all objects are small."""

MEMORY = 1.0
"""Default memory of a run in GiB."""

TELL_SECONDS = 0.5
HEAD_TRIES = 3
CONNECT_SECONDS = 3.0

SAVE_SECONDS = 15.0
"""Longest wait of ``close`` for cancelled runs to finish a batch and save their state."""


@dataclass(frozen=True)
class RayParameters:
    """The address of the cluster."""

    address: str = parameter(
        "local",
        "host:port of a cluster's head; auto: the cluster of this machine; local: a new one",
    )


class RayExecutor:
    """One Ray task per run; a streaming generator returns the progress."""

    def __init__(self, request: ExecutorRequest, parameters: RayParameters) -> None:
        """Connects, and makes sure that every node can carry out runs.

        Raises:
            ConfigError: Ray is not installed.
            ExecutorError: There is no cluster, or a node lacks something; the message names it.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends no usage statistics
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "executor 'ray' needs Ray: python -m pip install 'zobench[ray]'"
            ) from error
        self._ray = ray
        self._request, self._resources = request, request.resources
        self._cpus = request.resources.cpus or 1
        self._memory = request.resources.memory or MEMORY
        self._at: dict[Any, Job] = {}
        self._cancelled: list[Job] = []
        self._progress: dict[Job, Progress] = {}
        self._connect(parameters.address)
        try:
            check_nodes(ray, self._nodes(), request)
            self._remark_on_size()
        except BaseException:
            self.close()
            raise
        # a process keeps its GPU memory after a run, so each run on a GPU gets a fresh process
        task = ray.remote(max_calls=1) if self._resources.gpus else ray.remote
        self._task = task(carry_out).options(
            num_returns="streaming",
            num_cpus=self._cpus,
            num_gpus=self._resources.gpus,
            memory=int(self._memory * GIB),
            max_retries=0,
        )

    def _connect(self, address: str) -> None:
        here: dict[str, Any] = {}
        if address == "local":  # Ray misreads the limits of containers
            import joblib

            here = {"num_cpus": joblib.cpu_count(), "object_store_memory": STORE_BYTES}
        if re.fullmatch(r"[^:]+:\d+", address) and not _answers(address):  # Ray would wait minutes
            raise ExecutorError(
                f"executor.address is {address!r}, but nobody answers there; start a cluster with: "
                "ray start --head, or let zobench start one: --address local"
            )
        try:
            cluster = self._ray.init(
                address=address, log_to_driver=False, logging_level="ERROR", **here
            )
        except (
            self._ray.exceptions.RayError,
            ConnectionError,
            RuntimeError,
            ValueError,
            OSError,
        ) as error:
            raise ExecutorError(
                f"executor.address is {address!r}, but no Ray cluster can be reached so: {error}; is "
                "one there (ray start --head), of this version of Ray, and is RAY_AUTH_TOKEN its "
                "token? --address local starts one here"
            ) from error
        self._head = self._ray.get_runtime_context().gcs_address
        if cluster.dashboard_url:
            self._request.note(f"Ray's dashboard: http://{cluster.dashboard_url}")

    def _nodes(self) -> list[Node]:
        """The nodes that are alive; while waiting, checks that the head still answers.

        If the head accepts connections but gives no answer, the wait goes on.

        Raises:
            ExecutorError: The head accepts no connections any more.
        """
        answer: Future[list[Node]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._ray.nodes())
            except BaseException as error:
                answer.set_exception(error)

        Thread(target=ask, daemon=True).start()
        while not wait([answer], TELL_SECONDS).done:
            self._require_head()
        return [node for node in answer.result() if node["Alive"]]

    def _remark_on_size(self) -> None:
        if not any(self._fits(node) for node in self._nodes()):
            self._request.note(
                f"no node of the cluster has {self._cpus} cores, {self._resources.gpus:g} GPUs and "
                f"{self._memory:g} GiB for a run now; waiting for one"
            )

    def _fits(self, node: Node) -> int:
        """The number of runs that a node can carry out at a time."""
        has = node["Resources"]
        needs = {"CPU": self._cpus, "GPU": self._resources.gpus, "memory": self._memory * GIB}
        return int(min(has.get(name, 0) // need for name, need in needs.items() if need))

    @property
    def capacity(self) -> int:
        """Free places for runs: of ``--jobs``, or of all nodes but at least one place."""
        self._require_head()
        most = self._request.jobs or max(1, sum(map(self._fits, self._nodes())))
        return most - len(self._at)

    def submit(self, job: Job) -> None:
        """Hands a run to Ray."""
        placed = replace(job, folder=job.folder.resolve())  # workers are in other folders
        self._at[self._task.remote(placed, self._cpus)] = job

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """Runs that ended; one whose process or node died is ``lost``.

        Raises:
            ExecutorError: The cluster does not answer any more.
        """
        self._require_head()
        if not self._at:
            time.sleep(timeout)
            return
        ready, _ = self._ray.wait(list(self._at), timeout=timeout, fetch_local=False)
        if ready:  # and all other tasks that are ready by now
            ready, _ = self._ray.wait(
                list(self._at), num_returns=len(self._at), timeout=0, fetch_local=False
            )
        for stream in ready:
            outcome = self._next(stream)
            if outcome is not None:
                job = self._at.pop(stream)
                self._progress.pop(job, None)
                yield job, outcome

    def _require_head(self) -> None:
        """Checks that the head answers; otherwise Ray waits a minute and ends this process."""
        for _ in range(HEAD_TRIES):
            if _answers(self._head):
                return
            time.sleep(TELL_SECONDS)
        raise ExecutorError(
            f"the head of the Ray cluster, {self._head}, does not answer any more; what runs have "
            "saved is safe, and the same command goes on once a cluster is back"
        )

    def _next(self, stream: Any) -> Outcome | None:
        """The outcome of a task that ended; ``None`` if the task has only reported progress."""
        errors = self._ray.exceptions
        try:
            message = self._ray.get(next(stream))
        except StopIteration:
            return Outcome("lost", "its task ended without a word")
        except errors.TaskCancelledError:
            return Outcome("interrupted")
        except errors.RayTaskError as error:
            return Outcome("failed", f"{type(error.cause).__name__}: {error.cause}")
        except errors.RayError as error:
            return Outcome("lost", f"its worker or node died ({type(error).__name__})")
        if isinstance(message, Outcome):
            return message
        self._progress[self._at[stream]] = message
        return None

    def progress(self, job: Job) -> Progress | None:
        """The last progress that the task has reported."""
        return self._progress.get(job)

    def cancel(self) -> None:
        """Interrupts every task; each saves its run's state before it ends."""
        self._cancelled = list(self._at.values())
        for stream in self._at:
            self._ray.cancel(stream)

    def close(self) -> None:
        """Disconnects from the cluster, which ends all tasks of this process.

        Ray may report a task as cancelled while its worker still saves. In a local folder this is
        visible, and ``close`` waits at most ``SAVE_SECONDS`` for it.
        """
        end = time.monotonic() + SAVE_SECONDS
        while any(map(_is_at_work, self._cancelled)) and time.monotonic() < end:
            time.sleep(SAVE_SECONDS / 100)
        self._ray.shutdown()


def carry_out(job: Job, threads: int) -> Iterator[Progress | Outcome]:
    """Carries out a job in a worker: yields progress twice a second, and last the outcome."""
    told, stop = LatestProgress(), Stop()
    outcomes: list[Outcome] = []

    def run() -> None:
        import torch

        torch.set_num_threads(threads)
        try:
            outcomes.append(attempt(job, told, stop))
        except BaseException as error:  # a bug in zobench; the thread would hide the error
            failure = run_failure(error)
            outcomes.append(Outcome("failed", str(failure), exit_code=failure.exit_code))

    thread = Thread(target=run)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(TELL_SECONDS)
            yield told.now
    except BaseException:  # cancelled
        stop.asked = True
        thread.join()
        raise
    yield outcomes[0] if outcomes else Outcome("failed", "the worker's thread ended without a word")


def _is_at_work(job: Job) -> bool:
    """Whether an attempt at a job still has its own folder, i.e. has not ended yet."""
    return not job.url and any(progress_folder(job).glob(f"*/{job.folder.name}"))


def _answers(address: str) -> bool:
    """Whether a server accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
