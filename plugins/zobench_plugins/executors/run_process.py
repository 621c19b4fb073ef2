"""What happens in the process of one run, which the fork server has forked."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import util
from pathlib import Path
from typing import NoReturn

from zobench.config import config_from_json
from zobench.contracts.executor import Outcome
from zobench.files.json_files import Json
from zobench.registry.failure import run_failure
from zobench.suite.attempts import attempt
from zobench.suite.planning import Job
from zobench.suite.work import work

SAVE_SECONDS = 20.0
"""Seconds to finish a batch after the parent died, and again to save the run's state."""


def job_to_json(job: Job) -> Json:
    """A job as the JSON object that the server takes."""
    return {
        "config": job.config.as_dict(),
        "folder": str(job.folder),
        "identity": job.identity,
        "trackers": list(job.trackers),
        "url": job.url,
    }


def job_from_json(values: Json) -> Job:
    """The job in a JSON object of :func:`job_to_json`."""
    return Job(
        config=config_from_json(values["config"]),
        folder=Path(values["folder"]),
        identity=values["identity"],
        trackers=tuple(values["trackers"]),
        url=values["url"],
    )


def carried_out(job: Job, threads: int, server: int) -> Outcome:
    """Carries out a job in this process, and stops it if the server has ended.

    Args:
        job: The run.
        threads: Threads of torch.
        server: The process ID of the server.
    """
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_stop_when_orphaned, args=(server,), daemon=True).start()
    try:
        return attempt(job) if job.url else work(job)
    except BaseException as error:  # a bug in zobench
        failure = run_failure(error)
        return Outcome("failed", str(failure), exit_code=failure.exit_code)


def _stop_when_orphaned(parent: int) -> None:
    """If the server was killed: sends SIGTERM, so that the run saves its state, then SIGKILL."""
    while os.getppid() == parent:
        time.sleep(1.0)
    for _ in range(2):  # the second one does not wait for the batch
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SAVE_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)


def _end_workers() -> None:
    """Ends joblib's worker processes as the end of the interpreter would, which never comes here.

    Otherwise loky's tracker warns of every semaphore and folder that they leave.
    """
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)
        # as multiprocessing does where its own processes end
        util._run_finalizers(0)  # type: ignore[attr-defined]


def leave(status: int) -> NoReturn:
    """Ends this process and joblib's workers, whatever threads are left in it."""
    with suppress(Exception):
        _end_workers()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)
