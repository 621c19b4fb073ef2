"""Runs through a service, and the same runs here, as commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import Command
from served import Served

from zobench.files.row_files import read_rows

SMALL = [
    *("--dataset", "tiny", "--disease", "spots", "--batch-size", "8", "--snapshots", "3"),
    *("--replicates", "50", "--set", "split.train=120", "--set", "split.test_per_cell=40"),
]
PATIENT = ["--set", "encoder.backoff=0.01", "--set", "encoder.retries=50"]


def start(out: Path, *words: str) -> Command:
    return Command(*words, "--json", cwd=out)


def finished(process: Command) -> dict[str, Any]:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def run(out: Path, *words: str, budget: int = 400, optimizer: str = "random") -> list[str]:
    out.mkdir(exist_ok=True)
    return ["run", "--optimizer", optimizer, "--budget", str(budget), *SMALL, *words]


def remote(server: Served, *words: str) -> list[str]:
    return ["--encoder", "http:oip", "--encoder-url", server.url, *PATIENT, *words]


def local(out: Path, *words: str, budget: int = 400, optimizer: str = "random") -> dict[str, Any]:
    more = ["--encoder", "tiny", *words]
    return finished(start(out, *run(out, *more, budget=budget, optimizer=optimizer)))


def same(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Asserts equal scores, snapshots, edit and trace, except for the counts of requests."""
    assert one["scores"] == two["scores"]
    folders = [Path(each["run_dir"]) for each in (one, two)]
    rows = [read_rows(each / "trace.jsonl").rows for each in folders]
    for row in [*rows[0], *rows[1]]:
        del row["requests"]
    assert rows[0] == rows[1]
    names = [
        "edit.npy",
        *sorted(f"snapshots/{p.name}" for p in (folders[0] / "snapshots").iterdir()),
    ]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def wait_until(reached: Callable[[], bool], process: Command) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def answered(out: Path) -> int:
    return sum(each.read_bytes().count(b"answered") for each in out.glob("runs/*/bill.jsonl"))


def in_out(result: dict[str, Any], out: Path) -> dict[str, Any]:
    return {**result, "run_dir": str(out / result["run_dir"])}
