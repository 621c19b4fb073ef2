"""Processes killed at random moments: what goes on afterwards ends without a byte of difference.

``ZOBENCH_KILLS`` sets the number of kills of each test; ``pytest -s`` prints how many there were.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from served import Served
from twins import same_runs

from zobench.records import layout
from zobench.records.stored_run import StoredRun

pytestmark = [pytest.mark.usefixtures("tiny_installed"), pytest.mark.lengthy]

KILLS = int(os.environ.get("ZOBENCH_KILLS", "6"))
SECONDS = (1.0, 4.0)
"""The shortest and the longest life of a process; its pauses alone make a whole run last 6 seconds."""

SLOW = ["--optimizer", "troubled", "--set", "optimizer.pause=0.15"]
RUN = [
    *("run", "--dataset", "tiny", "--disease", "spots", "--budget", "800", "--batch-size", "10"),
    *("--replicates", "20", "--snapshots", "4", "--set", "split.train=120"),
    *("--set", "split.test_per_cell=40", *SLOW),
]


def start(folder: Path, words: Sequence[str]) -> Command:
    return Command(*words, cwd=folder, own_session=True)


def kill_all(session: int) -> None:
    """Kills all processes of a session at once: a command, its server and the runs' processes."""
    found = subprocess.run(
        ["pgrep", "-s", str(session)], capture_output=True, text=True, check=False
    )
    for word in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(word), signal.SIGKILL)


def killed(folder: Path, words: Callable[[], Sequence[str]], rng: random.Random, kills: int) -> int:
    """Starts a command again and again, and kills it at random moments; returns the kills."""
    done = 0
    for _ in range(kills):
        process = start(folder, words())
        try:
            process.wait(rng.uniform(*SECONDS))
        except subprocess.TimeoutExpired:
            kill_all(process.pid)
            done += 1
        process.communicate()
    return done


def completed(folder: Path, words: Sequence[str]) -> None:
    process = start(folder, words)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def resumed(folder: Path, more: Sequence[str]) -> Callable[[], Sequence[str]]:
    """The command that goes on with the only run of a folder, or starts it."""

    def words() -> Sequence[str]:
        found = layout.run_folders(folder / "runs") if (folder / "runs").is_dir() else []
        return ["resume", str(found[0])] if found else [*RUN, *more]

    return words


def results(folder: Path) -> Mapping[str, Any]:
    """The results of the only run of a folder that do not depend on time."""
    (path,) = layout.run_folders(folder / "runs")
    found = StoredRun(path)
    kept = ("status", "ledger", "scores", "recovery", "fpq", "ended_by")
    edits = {each: found.edit_after(each).numpy().tobytes() for each in found.snapshots}
    values = {name: found.as_dict()[name] for name in kept}
    return {**values, "trace": found.trace, "edits": edits}


def without_requests(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Results without the number of calls of the encoder, which retries and resumes change."""
    rows = [{k: v for k, v in row.items() if k != "requests"} for row in found["trace"]]
    ledger = {
        purpose: {k: v for k, v in counts.items() if k != "requests"}
        for purpose, counts in found["ledger"].items()
    }
    return {**found, "trace": rows, "ledger": ledger}


def test_a_run(tmp_path: Path) -> None:
    more = ["--encoder", "tiny"]
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    completed(whole, [*RUN, *more])
    count, rng = 0, random.Random(0)
    for number in range(max(1, KILLS // 6)):
        folder = torn / str(number)
        folder.mkdir(parents=True)
        words = resumed(folder, more)
        count += killed(folder, words, rng, 6)
        completed(folder, words())
        assert results(folder) == results(whole)
    print(f"\nruns: {count} kills")
    assert count > 0


def test_a_run_that_pays(tmp_path: Path, server: Served) -> None:
    price = ["--set", "encoder.price=0.01", "--set", "encoder.backoff=0.01"]
    more = ["--encoder", "http:oip", "--encoder-url", server.url, *price]
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    completed(whole, [*RUN, *more])
    count, rng = 0, random.Random(1)
    for number in range(max(1, KILLS // 6)):
        folder = torn / str(number)
        folder.mkdir(parents=True)
        words = resumed(folder, more)
        before = server.images()["embedded"]
        count += killed(folder, words, rng, 6)
        completed(folder, words())
        assert without_requests(results(folder)) == without_requests(results(whole))
        (path,) = layout.run_folders(folder / "runs")
        bill = StoredRun(path).as_dict()["bill"]["total"]
        embedded = server.images()["embedded"] - before
        never_recorded = 6 + 2  # each process embeds one image before its account is the run's
        least, most = bill["images_billed"], bill["images_billed"] + bill["images_maybe_billed"]
        assert least <= embedded <= most + never_recorded
    print(f"\nruns that pay: {count} kills")
    assert count > 0


def test_a_suite(suite_file: Callable[..., Path], tmp_path: Path) -> None:
    slow = '{name = "troubled", set = {pause = 0.1}}'
    path = suite_file(slow, '"random"', '"gezo"')
    completed(tmp_path, ["suite", str(path), "--out", "whole"])
    count, rng = 0, random.Random(2)
    for number in range(max(1, KILLS // 6)):
        out = f"torn-{number}"
        words = ["suite", str(path), "--out", out, "--jobs", "2"]
        count += killed(tmp_path, lambda words=words: words, rng, 6)
        time.sleep(0.1)
        completed(tmp_path, words)
        same_runs(tmp_path / "whole", tmp_path / out)
    print(f"\nsuites with their workers: {count} kills")
    assert count > 0
