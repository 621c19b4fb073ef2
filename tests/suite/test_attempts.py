"""Attempts at one run that know nothing of each other: late ones, dead ones, ones that live on."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import config
from twins import same_runs

from zobench import files, places, states, store
from zobench.config import RunConfig
from zobench.errors import ConfigError
from zobench.signals import Stop
from zobench.suite.attempts import ATTEMPTS, attempt
from zobench.suite.planning import Job
from zobench.suite.work import LatestProgress


@pytest.fixture(scope="module", autouse=True)
def _tiny_plugin(tiny_installed: None) -> None:
    """All of these runs need it."""


def job(tmp_path: Path, where: str = "runs", wanted: RunConfig | None = None) -> Job:
    return Job(wanted or config("random"), tmp_path / where / "one", "x")


class StopAfter(LatestProgress):
    """Asks to stop once so many queries are spent."""

    def __init__(self, queries: int) -> None:
        super().__init__()
        self.stop, self._queries = Stop(), queries

    def update(self, done: int, **figures: float) -> None:
        super().update(done, **figures)
        if self.now["phase"] == "optimize" and done >= self._queries:
            self.stop.asked = True


def interrupted(wanted: Job, queries: int) -> None:
    told = StopAfter(queries)
    assert attempt(wanted, told, told.stop).state == "interrupted"


def test_attempts_go_on_where_the_last_one_was(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 100)
    interrupted(wanted, 300)
    assert attempt(wanted).state == "done"
    assert attempt(wanted).state == "done"
    assert store.read_manifest(wanted.folder)["resumed"] == 2
    assert not (wanted.folder.parent / ATTEMPTS).exists()
    twin = job(tmp_path, "twin")
    assert attempt(twin).state == "done"
    same_runs(twin.folder.parent, wanted.folder.parent)


def test_a_dead_attempt_s_folder_is_the_next_one_s_beginning(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    interrupted(wanted, 200)
    dead = wanted.folder.parent / ATTEMPTS / "one" / "1-dead" / "one"
    dead.parent.mkdir(parents=True)
    wanted.folder.rename(dead)  # as kill -9 leaves it
    files.append_lines(dead / store.TRACE, b'{"torn": ')
    assert attempt(wanted).state == "done"
    assert store.read_manifest(wanted.folder)["resumed"] == 1
    assert not dead.exists()


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
    notes = files.read_tensors(wanted.folder / store.CHECKPOINT)[1]
    assert notes["counts"]["queries"] >= 300


def test_a_run_that_cannot_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    wanted = job(tmp_path, wanted=config("nobody"))
    outcome = attempt(wanted)
    assert outcome.state == "failed"
    assert "nobody" in outcome.error
    assert not wanted.folder.exists()


def test_a_failure_is_kept_for_whoever_looks(tmp_path: Path) -> None:
    wanted = job(tmp_path, wanted=config("troubled").with_settings("optimizer", fails_at=3))
    assert attempt(wanted).error == "ArithmeticError: lost my way"
    manifest = store.read_manifest(wanted.folder)
    assert (manifest["status"], manifest["run_id"]) == ("failed", "one")


@pytest.mark.parametrize("when", ["before it is moved aside", "before the own is put there"])
def test_whoever_comes_between_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Another attempt takes the place in the middle of this one's taking it."""
    wanted, twin = job(tmp_path), job(tmp_path, "twin")
    interrupted(wanted, 100)
    early = tmp_path / "early"
    shutil.copytree(wanted.folder, early)
    attempt(twin)
    rename, others = Path.rename, [twin.folder if when.startswith("before it") else early]

    def between(self: Path, target: Path) -> Path:
        mine = self if when.startswith("before it") else target
        if mine == wanted.folder and others:
            shutil.rmtree(wanted.folder, ignore_errors=True)
            shutil.copytree(others.pop(), wanted.folder)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", between)
    assert attempt(wanted).state == "done"
    assert not others
    same_runs(twin.folder.parent, wanted.folder.parent)
    assert not (wanted.folder.parent / ATTEMPTS).exists()


def test_a_resumed_run_that_could_not_be_published_is_not_taken_for_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    url = (tmp_path / "shelf").as_uri()
    wanted = replace(job(tmp_path), url=url, folder=places.local_folder(url) / "one")
    interrupted(wanted, 100)
    assert not store.is_run(tmp_path / "shelf" / "one")
    (state,) = (tmp_path / "shelf" / "one").glob("unfinished-*")
    assert store.read_manifest(state)["status"] == "interrupted"

    def torn(*words: object, **more: object) -> None:
        raise OSError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(states, "upload", torn)
        assert "the line is dead" in attempt(wanted).error
    assert store.is_done(wanted.folder)
    assert not wanted.done
    places.fetch(url)
    assert store.is_done(wanted.folder)
    assert attempt(wanted).state == "done"
    assert wanted.done
    assert store.is_done(tmp_path / "shelf" / "one")


def test_a_further_run_at_a_url_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    interrupted(wanted, 100)
    shutil.copytree(wanted.folder, tmp_path / "early" / "one")
    interrupted(wanted, 300)
    places.publish_run(wanted.folder, shelf.as_uri())
    before = files_in(shelf)
    places.publish_run(tmp_path / "early" / "one", shelf.as_uri())
    assert files_in(shelf) == before


def test_one_that_is_interrupted_while_another_publishes_the_end_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    wanted, late, shelf = job(tmp_path), job(tmp_path, "late"), tmp_path / "shelf"
    assert attempt(wanted).state == "done"
    interrupted(late, 300)
    upload = states.upload

    def between(*words: Any, **more: Any) -> states.State:
        monkeypatch.setattr(states, "upload", upload)
        places.publish_run(wanted.folder, shelf.as_uri())
        return upload(*words, **more)

    monkeypatch.setattr(states, "upload", between)
    places.publish_run(late.folder, shelf.as_uri())
    same_runs(wanted.folder.parent, places.fetch(shelf.as_uri()))
    same_runs(wanted.folder.parent, shelf)


def test_a_further_state_takes_the_place_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    torn = shelf / "one" / "unfinished-0000" / store.TRACE
    torn.parent.mkdir(parents=True)
    torn.write_text("")  # another is uploading it
    for queries in (100, 300):
        interrupted(wanted, queries)
        places.publish_run(wanted.folder, shelf.as_uri())
    assert len(list(shelf.glob("one/unfinished-*/manifest.json"))) == 1
    assert torn.exists()
    (copy,) = store.run_folders(places.fetch(shelf.as_uri()))
    assert files.read_tensors(copy / store.CHECKPOINT)[1]["counts"]["queries"] >= 300
    assert attempt(wanted).state == "done"
    places.publish_run(wanted.folder, shelf.as_uri())
    assert not list(shelf.glob("one/unfinished-*"))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_password_in_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a password") as caught:
        places.fetch("sftp://bob:hunter2@example.org/runs")
    assert "hunter2" not in str(caught.value)
