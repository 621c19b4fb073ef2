"""Real processes of ``zobench suite``, killed, stopped or run twice, end with equal results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command

pytestmark = pytest.mark.lengthy

Write = Callable[..., Path]
SLOW = '{name = "troubled", set = {pause = 0.05, candidates = 1}}'
SLOWER = '{name = "troubled", set = {pause = 1.0, candidates = 1}}'
RESULTS = ("trace.jsonl", "edit.npy")
SCORED = ("edits", "test", "counts")


def start(path: Path, out: Path, *more: str) -> Command:
    words = ["suite", str(path), "--jobs", "2", "--out", str(out), *more]
    return Command(*words, own_session=True)


def finished(process: Command) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=200)
    return process.returncode, out, errors


def rows(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/trace.jsonl"))


def workers(out: Path) -> list[int]:
    """Worker processes that have a file open below ``out``."""
    found = subprocess.run(
        ["pgrep", "-f", "fork_server"], capture_output=True, text=True, check=False
    ).stdout.split()
    mine = []
    for word in found:
        links = Path(f"/proc/{word}/fd")
        try:
            opened = [os.readlink(link) for link in links.iterdir()]
        except OSError:
            continue
        if any(each.startswith(str(out)) for each in opened):
            mine.append(int(word))
    return mine


def wait_for(what: Callable[[], bool], process: Command) -> None:
    deadline = time.monotonic() + 100
    while not what():
        if process.poll() is not None:
            pytest.fail(f"the suite ended too early: {process.communicate()[1][-2000:]}")
        assert time.monotonic() < deadline, "the wanted state was never reached"
        time.sleep(0.02)


def contents(out: Path) -> dict[str, object]:
    """The results of all runs, part by part, without times and names, which may differ."""
    found: dict[str, object] = {}
    for manifest in out.glob("*/manifest.json"):
        folder, content = manifest.parent, json.loads(manifest.read_text())
        scores = json.loads((folder / "scores.json").read_text())
        snapshots = {each.name: each.read_bytes() for each in folder.glob("snapshots/*")}
        config = content["config"]
        run = f"{config['optimizer']} {config['overrides']} {config['seed']}"
        parts = {
            "status": content["status"],
            "ledger": content["ledger"],
            **{f"scores: {name}": part for name, part in scores.items() if name in SCORED},
            **snapshots,
            **{name: (folder / name).read_bytes() for name in RESULTS},
        }
        found |= {f"{run}: {name}": part for name, part in parts.items()}
    return found


def same_contents(one: Path, other: Path) -> None:
    """Asserts that two folders hold the same results; a failure names the parts that differ."""
    here, there = contents(one), contents(other)
    assert here.keys() == there.keys()
    assert {name: (here[name], there[name]) for name in here if here[name] != there[name]} == {}


def test_a_suite_killed_again_and_again_ends_as_if_it_had_not_been(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file(SLOW, '"gezo"', '"random"', seeds="2")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code, out, errors = finished(start(path, whole, "--json"))
    assert code == 0, errors
    assert [each["status"] for each in json.loads(out)["runs"]] == ["done"] * 6
    for kills in range(3):
        process, before = start(path, broken), rows(broken)
        wait_for(lambda before=before: rows(broken) > before, process)
        if kills == 1:  # kills only one worker; another worker resumes its run
            (first, *_) = workers(broken)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda first=first: workers(broken) and first not in workers(broken), process)
        for each in (process.pid, *workers(broken)):
            os.kill(each, signal.SIGKILL)
        process.communicate()
    code, _, errors = finished(start(path, broken))
    assert code == 0, errors
    same_contents(broken, whole)


def test_two_suites_at_once_share_the_work_and_spoil_nothing(
    suite_file: Write, tmp_path: Path
) -> None:
    path, out = suite_file('"gezo"', '"random"', seeds="3"), tmp_path / "runs"
    both = [start(path, out, "--json") for _ in range(2)]
    for process in both:
        code, found, errors = finished(process)
        assert code == 0, errors
        assert [each["status"] for each in json.loads(found)["runs"]] == ["done"] * 6
    assert len(list(out.glob("*/manifest.json"))) == 6
    manifests = [json.loads(each.read_text()) for each in out.glob("*/manifest.json")]
    assert all(each["resumed"] == 0 for each in manifests)


@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_saves_and_leaves_nobody_behind(
    suite_file: Write, tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    path, out = suite_file(SLOWER, seeds="3"), tmp_path / "r"
    process = start(path, out)
    wait_for(lambda: len(list(out.glob("*/progress.json"))) == 2, process)
    wait_for(lambda: rows(out) > 2, process)
    if to_all:  # as a terminal and systemd do: to the whole process group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code, _, errors = finished(process)
    assert code == 130, errors
    assert "everything so far is saved" in errors
    assert "Traceback" not in errors
    assert not workers(out)
    states = {json.loads(each.read_text())["status"] for each in out.glob("*/manifest.json")}
    assert states == {"interrupted"}


def test_workers_save_their_runs_when_the_suite_is_gone(suite_file: Write, tmp_path: Path) -> None:
    path, out = suite_file(SLOWER, seeds="2"), tmp_path / "r"
    process = start(path, out)
    wait_for(lambda: rows(out) > 2, process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and workers(out):
        time.sleep(0.1)
    assert not workers(out)
    states = {json.loads(each.read_text())["status"] for each in out.glob("*/manifest.json")}
    assert states == {"interrupted"}


def test_a_failed_run_is_told_and_the_rest_is_done(suite_file: Write, tmp_path: Path) -> None:
    path = suite_file('{name = "troubled", set = {fails_at = 2}}', '"random"', seeds="1")
    code, out, errors = finished(start(path, tmp_path / "runs"))
    assert code == 4
    assert "ArithmeticError: lost my way" in out
    assert "2 runs: 1 done, 1 failed" in errors
    assert "Traceback" not in errors + out


def test_damaged_runs_hide_no_others(suite_file: Write, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert finished(start(suite_file(seeds="1"), out))[0] == 0
    for pattern in ("random-*/manifest.json", "gezo-*/scores.json"):
        (file,) = out.glob(pattern)
        file.write_text("{")
    path = suite_file('"random"', '"gezo"', '"spsa"', seeds="1")
    code, told, _ = finished(start(path, out, "--json"))
    assert code == 3
    found = {each["config"]["optimizer"]: each for each in json.loads(told)["runs"]}
    assert {name: each["status"] for name, each in found.items()} == {
        "random": "failed",
        "gezo": "failed",
        "spsa": "done",
    }
    assert "manifest.json is damaged" in found["random"]["error"]
    assert "scores.json is damaged" in found["gezo"]["error"]
    assert found["spsa"]["fpq"]
    code, told, _ = finished(start(path, out))
    assert code == 3
    assert "scores.json is damaged" in " ".join(told.split())
    assert "spsa" in told


def test_problems_of_the_file_and_of_its_runs_are_told_together(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file('"gezoo"', '{name = "adam", set = {lrr = 1}}', more="budgt = 3")
    code, _, errors = finished(start(path, tmp_path / "runs"))
    assert code == 2
    said = " ".join(errors.split())
    for words in ("has 3 problems", "unknown key run.budgt", "'gezoo'", "adam: optimizer has no"):
        assert words in said, said
    assert not (tmp_path / "runs").exists()


def test_a_forecast_refuses_what_the_suite_refuses(suite_file: Write, tmp_path: Path) -> None:
    path = suite_file('"adam"', '{name = "adam", set = {lr = 0.01}}', '"gezoo"', seeds="1")
    said = [finished(start(path, tmp_path / "runs", *words)) for words in ((), ("--dry-run",))]
    assert [code for code, _, _ in said] == [2, 2]
    for _, _, errors in said:
        assert "declared twice" in errors
        assert "did you mean 'gezo'" in errors
    sound = suite_file(seeds="1")
    for words in (("--executor", "slrm"), ("--set", "executor.nodes=3")):
        code, _, errors = finished(start(sound, tmp_path / "runs", "--dry-run", *words))
        assert code == 2
        assert "slrm" in errors or "'nodes'" in errors
