"""Independent attempts at one run: attempts at once, killed attempts, late attempts."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from attempted import StopAfter, interrupted, job
from tiny import config
from twins import same_runs

from zobench.billing.account import Account
from zobench.billing.bill import read_bill
from zobench.contracts.purpose import Purpose
from zobench.files.tensor_files import read_tensors
from zobench.records import layout
from zobench.records.layout import is_run
from zobench.records.manifest import read_manifest
from zobench.records.run_folder import RunFolder
from zobench.records.standing import is_done
from zobench.registry.discovery import load_registry
from zobench.suite import attempts
from zobench.suite.attempts import ATTEMPTS, attempt
from zobench.suite.engine import Engine, run_planned
from zobench.suite.work import LatestProgress

LOST = "ArithmeticError: lost my way, raised by Troubled.tell (zobench_tiny.py, line "


def test_attempts_go_on_where_the_last_one_was(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 100)
    interrupted(wanted, 300)
    assert attempt(wanted).state == "done"
    assert attempt(wanted).state == "done"
    assert read_manifest(wanted.folder).resumed == 2
    assert not (wanted.folder.parent / ATTEMPTS).exists()
    twin = job(tmp_path, "twin")
    assert attempt(twin).state == "done"
    same_runs(twin.folder.parent, wanted.folder.parent)


def test_a_dead_attempt_s_folder_is_the_next_one_s_beginning(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 200)
    dead = wanted.folder.parent / ATTEMPTS / "one" / "1-dead" / "one"
    dead.parent.mkdir(parents=True)
    wanted.folder.rename(dead)  # the state after kill -9
    with (dead / layout.TRACE).open("ab") as trace:
        trace.write(b'{"torn": ')
    assert attempt(wanted).state == "done"
    assert read_manifest(wanted.folder).resumed == 1
    assert not dead.exists()


def test_a_suite_clears_what_an_attempt_left_that_died_after_its_run_was_in_place(
    tmp_path: Path,
) -> None:
    wanted = job(tmp_path)
    attempt(wanted)
    left = wanted.folder.parent / ATTEMPTS / "one"
    (left / "1-dead" / "one" / "snapshots").mkdir(parents=True)
    (left / "2-dead").mkdir()
    finished = left / "3-finished" / "one"
    shutil.copytree(wanted.folder, finished)
    assert run_planned([wanted], Engine(), load_registry(), tmp_path).unfinished == []
    assert [each.name for each in left.iterdir()] == ["3-finished"]
    shutil.rmtree(finished.parent)
    run_planned([wanted], Engine(), load_registry(), tmp_path)
    assert not (wanted.folder.parent / ATTEMPTS).exists()


def test_of_two_that_end_the_second_yields(tmp_path: Path) -> None:
    slow = config("troubled").with_settings("optimizer", pause=0.05)
    wanted = job(tmp_path, wanted=slow)
    outcomes: list[str] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(attempt(wanted, LatestProgress()).state))
        for _ in range(3)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert outcomes == ["done"] * 3
    twin = job(tmp_path, "twin", slow)
    attempt(twin)
    same_runs(twin.folder.parent, wanted.folder.parent)
    assert not (wanted.folder.parent / ATTEMPTS).exists()


def test_one_that_was_thought_dead_does_not_undo_what_is_further(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 100)
    early = tmp_path / "early"
    shutil.copytree(wanted.folder, early)
    interrupted(wanted, 300)
    shutil.copytree(wanted.folder, tmp_path / "late")
    shutil.rmtree(wanted.folder)
    shutil.copytree(early, wanted.folder)
    shutil.copytree(tmp_path / "late", wanted.folder.parent / ATTEMPTS / "one" / "1-a" / "one")
    told = StopAfter(0)
    told.stop.asked = True
    assert attempt(wanted, told, told.stop).state == "interrupted"
    notes = read_tensors(wanted.folder / layout.CHECKPOINT)[1]
    assert notes["counts"]["queries"] >= 300


def test_nothing_is_moved_from_under_a_process_that_writes_to_the_run(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    writer = RunFolder(wanted.folder)
    outcome = attempt(wanted)
    assert outcome.state == "busy"
    assert not is_run(wanted.folder)
    (kept,) = (wanted.folder.parent / ATTEMPTS / "one").glob("*/one")
    assert is_done(kept)
    writer.close()
    before = read_manifest(kept)
    assert attempt(wanted).state == "done"
    assert read_manifest(wanted.folder).wall_seconds == before.wall_seconds


def test_a_state_that_changes_is_copied_again_and_one_that_cannot_be_copied_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, copy = job(tmp_path), attempts._copy
    faults: list[OSError] = []
    interrupted(wanted, 100)
    began = read_manifest(wanted.folder)

    def troubled(other: Path, own: Path) -> None:
        if faults:
            raise faults[0] if len(faults) > 1 else faults.pop()
        copy(other, own)

    monkeypatch.setattr(attempts, "_copy", troubled)
    monkeypatch.setattr(attempts, "SECONDS", 0.0)
    faults[:] = [OSError(28, "No space left on device")] * 2  # for good
    full = attempt(wanted)
    assert full.state == "failed"
    assert "No space left" in full.error
    assert read_manifest(wanted.folder) == began
    faults[:] = [FileNotFoundError(2, "gone", "a")]  # once
    assert attempt(wanted).state == "done"
    assert read_manifest(wanted.folder).resumed > began.resumed


def test_a_run_that_cannot_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    wanted = job(tmp_path, wanted=config("nobody"))
    outcome = attempt(wanted)
    assert outcome.state == "failed"
    assert "nobody" in outcome.error
    assert not wanted.folder.exists()


def test_a_failure_is_kept_for_whoever_looks(tmp_path: Path) -> None:
    wanted = job(tmp_path, wanted=config("troubled").with_settings("optimizer", fails_at=3))
    assert attempt(wanted).error.startswith(LOST)
    manifest = read_manifest(wanted.folder)
    assert (manifest.status, manifest.run_id) == ("failed", "one")


@pytest.mark.parametrize("when", ["before it is moved aside", "before the own is put there"])
def test_whoever_comes_between_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Another attempt renames its run to the run folder while this attempt does the same."""
    wanted, twin, told = job(tmp_path), job(tmp_path, "twin"), StopAfter(300)
    interrupted(wanted, 100)
    early, other_ends = tmp_path / "early", when.startswith("before it")
    shutil.copytree(wanted.folder, early)
    attempt(twin)
    rename, others = Path.rename, [twin.folder if other_ends else early]

    def between(self: Path, target: Path) -> Path:
        mine = self if other_ends else target
        if mine == wanted.folder and others:
            shutil.rmtree(wanted.folder, ignore_errors=True)
            shutil.copytree(others.pop(), wanted.folder)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", between)
    ended = attempt(wanted, told, told.stop) if other_ends else attempt(wanted)
    assert ended.state == "done"
    assert not others
    same_runs(twin.folder.parent, wanted.folder.parent)
    assert not (wanted.folder.parent / ATTEMPTS).exists()


def test_of_two_attempts_that_came_equally_far_the_bill_of_the_one_that_paid_stays(
    tmp_path: Path,
) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 100)
    base = wanted.folder.parent / ATTEMPTS / "one"
    dead = base / "1-dead" / "one"  # it paid for one more request, and was killed
    shutil.copytree(wanted.folder, dead)
    account = Account(dead)
    account.purpose = Purpose.OPTIMIZE
    account.sent("a", 5, 1, retry=False)
    told = StopAfter(0)
    told.stop.asked = True
    assert attempt(wanted, told, told.stop).state == "interrupted"
    bill = read_bill(wanted.folder, 1.0)
    assert bill is not None
    assert bill.usage["optimize"].images_maybe_billed == 5


@pytest.mark.parametrize("name", [str(layout.CHECKPOINT), layout.TRACE])
def test_a_damaged_state_is_told_and_its_bill_is_kept(tmp_path: Path, name: str) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 100)
    account = Account(wanted.folder)
    account.answered(account.sent("a", 5, 1, retry=False), 1)
    path = wanted.folder / name
    path.write_bytes(path.read_bytes()[:-9])
    outcome = attempt(wanted, LatestProgress())
    assert outcome.state == "done"
    assert any("is damaged" in note and "begins anew" in note for note in outcome.notes)
    bill = read_bill(wanted.folder, 1.0)
    assert bill is not None
    assert bill.total().images_billed == 5
