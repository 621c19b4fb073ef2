"""Runs at a URL that several machines read and write at once, also with lost connections."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attempted import StopAfter, interrupted, job
from fsspec.implementations.local import LocalFileSystem
from tiny import config, tiny_registry
from twins import same_runs

import zobench
from zobench.errors import ConfigError, StoreError
from zobench.files.tensor_files import read_tensors
from zobench.records import layout, standing
from zobench.records.manifest import read_manifest
from zobench.records.urls import copies, states
from zobench.suite.attempts import attempt


@pytest.fixture(autouse=True)
def _own_cache(tiny_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets a new cache folder for each test."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))


def unreachable(*words: object, **more: object) -> None:
    raise OSError("the line is dead")


def publishes_before(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, folder: Path, shelf: Path
) -> None:
    """Publishes a run just before the next call of a function, as another machine might."""
    whole, others = getattr(owner, name), [folder]

    def between(*words: Any, **more: Any) -> Any:
        if others:
            copies.publish_run(others.pop(), shelf.as_uri())
        return whole(*words, **more)

    monkeypatch.setattr(owner, name, between)


def files_in(folder: Path) -> dict[str, bytes]:
    """The contents of all files below a folder that are uploaded with a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in copies.KEPT_HERE
    }


def test_a_resumed_run_that_could_not_be_published_is_not_taken_for_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (tmp_path / "shelf").as_uri()
    wanted = replace(job(tmp_path), url=url, folder=copies.local_copy(url).path / "one")
    interrupted(wanted, 100)
    assert not layout.is_run(tmp_path / "shelf" / "one")
    (state,) = (tmp_path / "shelf" / "one").glob("unfinished-*")
    assert read_manifest(state).status == "interrupted"

    with monkeypatch.context() as patch:
        patch.setattr(states, "upload", unreachable)
        assert "the line is dead" in attempt(wanted).error
    assert standing.is_done(wanted.folder)
    assert not wanted.done
    copies.fetch(url)
    assert standing.is_done(wanted.folder)
    assert attempt(wanted).state == "done"
    assert wanted.done
    (end,) = (tmp_path / "shelf" / "one").iterdir()
    assert standing.is_done(end)


def test_a_further_run_at_a_url_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    interrupted(wanted, 100)
    shutil.copytree(wanted.folder, tmp_path / "early" / "one")
    interrupted(wanted, 300)
    copies.publish_run(wanted.folder, shelf.as_uri())
    before, early = files_in(shelf), tmp_path / "early" / "one"
    copies.publish_run(early, shelf.as_uri())
    assert files_in(shelf) == before
    assert standing.rank(early) == standing.rank(wanted.folder)  # the URL's state is downloaded


def test_what_could_not_be_published_is_not_lost_to_what_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (tmp_path / "shelf").as_uri()
    wanted = replace(job(tmp_path), url=url, folder=copies.local_copy(url).path / "one")
    interrupted(wanted, 100)
    with monkeypatch.context() as patch:
        patch.setattr(states, "upload", unreachable)
        told = StopAfter(300)
        assert "the line is dead" in attempt(wanted, told, told.stop).error
    copies.fetch(url)
    assert standing.rank(wanted.folder)[2] >= 300
    with copies.published_run(f"{url}/one") as folder:  # as zobench resume does
        assert standing.rank(folder)[2] >= 300
    (state,) = (tmp_path / "shelf" / "one").iterdir()
    assert standing.rank(state)[2] >= 300


def test_a_manifest_whose_upload_was_torn_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    assert attempt(wanted).state == "done"
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "mv", unreachable)
        with pytest.raises(StoreError, match="the line is dead"):
            copies.publish_run(wanted.folder, shelf.as_uri())
    assert layout.run_folders(copies.fetch(shelf.as_uri()).path) == []
    copies.publish_run(wanted.folder, shelf.as_uri())
    same_runs(wanted.folder.parent, copies.fetch(shelf.as_uri()).path)
    assert not list(shelf.rglob("*.part"))


def test_what_two_publish_as_the_end_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, shelf = job(tmp_path), job(tmp_path, "second"), tmp_path / "shelf"
    for each in (first, second):
        assert attempt(each).state == "done"
    wholes = [files_in(each.folder) for each in (first, second)]
    publishes_before(monkeypatch, LocalFileSystem, "put", first.folder, shelf)
    copies.publish_run(second.folder, shelf.as_uri())
    read = files_in(copies.fetch(shelf.as_uri()).path / "one")
    assert read in wholes
    assert files_in(second.folder) == read
    assert copies.is_published(second.folder)


def test_who_ends_second_takes_what_is_there(tmp_path: Path) -> None:
    first, second, shelf = job(tmp_path), job(tmp_path, "second"), tmp_path / "shelf"
    for each in (first, second):
        assert attempt(each).state == "done"
        copies.publish_run(each.folder, shelf.as_uri())
    assert len(list(shelf.glob("one/done-*"))) == 1
    assert files_in(second.folder) == files_in(first.folder)


def test_a_run_folder_that_somebody_copied_there_is_read(tmp_path: Path) -> None:
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    interrupted(wanted, 100)
    shutil.copytree(wanted.folder, shelf / "one")
    copy = copies.fetch(shelf.as_uri()).path / "one"
    assert standing.rank(copy) == standing.rank(wanted.folder)
    interrupted(wanted, 300)
    copies.publish_run(wanted.folder, shelf.as_uri())
    copies.fetch(shelf.as_uri())
    assert standing.rank(copy) == standing.rank(wanted.folder)
    assert attempt(wanted).state == "done"
    shutil.rmtree(shelf)
    shutil.copytree(wanted.folder, shelf / "one")
    assert standing.is_done(copies.fetch(shelf.as_uri()).path / "one")
    copies.publish_run(wanted.folder, shelf.as_uri())
    assert not list(shelf.glob("one/done-*"))


def test_a_run_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    folder = copies.local_copy(shelf.as_uri()).path / "one"
    wanted = replace(job(tmp_path), url=shelf.as_uri(), folder=folder)
    assert attempt(wanted).state == "done"
    shutil.rmtree(shelf / "one")
    copies.fetch_run(shelf.as_uri(), folder)
    assert not folder.exists()


def test_a_state_that_is_replaced_while_it_is_read_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    interrupted(wanted, 100)
    copies.publish_run(wanted.folder, shelf.as_uri())
    assert attempt(wanted).state == "done"
    publishes_before(monkeypatch, LocalFileSystem, "get", wanted.folder, shelf)
    (copy,) = layout.run_folders(copies.fetch(shelf.as_uri()).path)
    assert standing.is_done(copy)


def test_one_that_is_interrupted_while_another_publishes_the_end_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, late, shelf = job(tmp_path), job(tmp_path, "late"), tmp_path / "shelf"
    assert attempt(wanted).state == "done"
    interrupted(late, 300)
    publishes_before(monkeypatch, states, "upload", wanted.folder, shelf)
    copies.publish_run(late.folder, shelf.as_uri())
    same_runs(wanted.folder.parent, copies.fetch(shelf.as_uri()).path)
    assert files_in(late.folder) == files_in(wanted.folder)


def test_a_further_state_takes_the_place_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, shelf = job(tmp_path), tmp_path / "shelf"
    torn = shelf / "one" / "unfinished-0-50-abcd" / layout.TRACE
    torn.parent.mkdir(parents=True)
    torn.write_text("")  # another machine is uploading this state
    for queries in (100, 300):
        interrupted(wanted, queries)
        copies.publish_run(wanted.folder, shelf.as_uri())
    assert len(list(shelf.glob("one/unfinished-*/manifest.json"))) == 1
    assert torn.exists()
    (copy,) = layout.run_folders(copies.fetch(shelf.as_uri()).path)
    assert read_tensors(copy / layout.CHECKPOINT)[1]["counts"]["queries"] >= 300
    assert attempt(wanted).state == "done"
    copies.publish_run(wanted.folder, shelf.as_uri())
    assert not list(shelf.glob("one/unfinished-*"))


@pytest.mark.parametrize(
    "url",
    [
        "sftp://bob:hunter2@example.org/runs",
        "simplecache::sftp://bob:hunter2@example.org/runs",
        "https://hunter2@example.org/runs",
        "https://example.org/runs?sig=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a password, a token or a query") as caught:
        copies.fetch(url)
    assert "hunter2" not in str(caught.value)
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()
    ]


def test_what_is_no_url_is_told() -> None:
    with pytest.raises(ConfigError, match="s3://\\[bench is no URL"):
        copies.fetch("s3://[bench")


def test_python_reads_and_writes_runs_at_urls(tmp_path: Path) -> None:
    url = (tmp_path / "shelf").as_uri()
    result = zobench.run(config("random"), out=url, registry=tiny_registry())
    (state,) = (tmp_path / "shelf" / result.run_id).glob("done-*")
    assert layout.is_run(state)
    assert zobench.show(f"{url}/{result.run_id}").scores == result.scores
    assert zobench.resume(f"{url}/{result.run_id}", registry=tiny_registry()).status == "done"
