"""Storage of somebody else: names that lead elsewhere, links, pipes, huge and odd manifests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from commands import InProcess
from forged import sealed
from tiny import run

from zobench.errors import StoreError
from zobench.files.names import require_plain_path

BUCKET = "memory://bench/runs"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return run(tmp_path_factory.mktemp("runs")).run_dir


@pytest.fixture
def bucket(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, bytes]]:
    """A bucket with one run; the files of the bucket by key, which a test may change."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "deep" / "down" / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    files = {
        f"/bench/runs/run1/{path.relative_to(stored)}": path.read_bytes()
        for path in stored.rglob("*")
        if path.is_file()
    }
    for key, content in files.items():
        system.pipe_file(key, content)
    yield files
    system.store.clear()


def plant(key: str, content: bytes = b"planted") -> None:
    """Puts a file under a key as it stands; a real bucket takes any key."""
    from fsspec.implementations.memory import MemoryFile

    system = fsspec.filesystem("memory")
    system.store[f"/bench/runs/{key}"] = MemoryFile(system, f"/bench/runs/{key}", content)


def everything_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


KEYS = (
    "run1/../../../../../../planted",
    "run1/snapshots/../../../../planted",
    "../planted",
    "run1//abs/planted",
    "run1/./planted",
    "..",
    "run1/con",
    "run1/NUL.txt",
    "run1/a\\..\\planted",
    "run1/C:planted",
    "run1/tab\tplanted",
    "run1/escape\x1b[2Jplanted",
    f"run1/{'x' * 300}",
)


@pytest.mark.parametrize("key", KEYS)
def test_no_key_of_a_bucket_writes_outside_of_the_cache(
    key: str, bucket: dict[str, bytes], tmp_path: Path, here: InProcess
) -> None:
    plant(key)
    done = here("show", BUCKET)
    assert done.returncode == 3
    assert done.stderr.count("error:") == 1
    assert "would not stay in its folder" in done.stderr
    assert not {ord(each) for each in done.stderr} & {*range(9), 27}
    assert not [path for path in everything_below(tmp_path) if "planted" in path.name]
    assert not Path("/abs").exists()


def test_keys_of_other_files_are_let_be(bucket: dict[str, bytes], here: InProcess) -> None:
    plant("run1/.published.json", b"{}")  # a local file's name: not downloaded
    plant("run1/notes of mine.txt")
    plant("readme.md")
    done = here("show", BUCKET)
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout


@pytest.mark.parametrize("url", ["memory://bench/..", "memory://bench/.", "memory://bench/con"])
def test_a_url_that_ends_in_no_name_is_refused(url: str, here: InProcess) -> None:
    done = here("show", url)
    assert done.returncode == 2
    assert "cannot name a folder of runs" in done.stderr


@pytest.mark.parametrize(
    "manifest",
    [
        b"[" * 200_000,
        b"{" + b'"a":{' * 100_000,
        b"\xff\xfe\x00",
        b"1" * 100_000,
        sealed('{"schema": 3}').encode(),
        sealed(json.dumps({"schema": 3, "config": {"optimizer": "a" * 10_000}})).encode(),
        sealed(json.dumps({"schema": 3, "config": [], "status": "\x1b[2J"})).encode(),
        sealed('{"schema": 3, "config": {"seed": ' + "9" * 4000 + "}}").encode(),
    ],
)
def test_an_odd_manifest_is_one_message(
    manifest: bytes, bucket: dict[str, bytes], here: InProcess
) -> None:
    plant("run1/manifest.json", manifest)
    for command in (["show", BUCKET], ["show", f"{BUCKET}/run1"], ["report", BUCKET]):
        done = here(*command)
        assert done.returncode in (2, 3), done.stderr
        assert done.stderr.count("error:") == 1
        assert "Traceback" not in done.stderr
        assert "\x1b[2J" not in done.stderr
        assert len(done.stderr) < 3_000


def test_texts_of_a_foreign_run_do_nothing_to_the_terminal(
    bucket: dict[str, bytes], here: InProcess
) -> None:
    manifest = json.loads(bucket["/bench/runs/run1/manifest.json"])
    del manifest["checksum"]
    manifest["error"] = "it broke \x1b]0;owned\x07 \x9b31m"
    manifest["status"] = "failed"
    plant("run1/manifest.json", sealed(json.dumps(manifest)).encode())
    done = here("show", f"{BUCKET}/run1")
    assert "\\x1b]0;owned" in done.stdout + done.stderr
    assert not {ord(each) for each in done.stdout + done.stderr} & {7, 27, 0x9B}


@pytest.mark.parametrize("name", ["manifest.json", "trace.jsonl", "scores.json", "snapshots"])
def test_a_link_in_a_run_folder_is_not_followed(
    name: str, stored: Path, tmp_path: Path, here: InProcess
) -> None:
    folder, target = tmp_path / "runs" / "one", tmp_path / "elsewhere"
    shutil.copytree(stored, folder)
    (folder / name).rename(target)
    (folder / name).symlink_to(target)
    done = here("show", str(folder))
    assert done.returncode == 3
    assert f"{name} is a link" in done.stderr


@pytest.mark.parametrize("name", ["manifest.json", "trace.jsonl", "scores.json"])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_told_at_once(
    name: str, stored: Path, tmp_path: Path, here: InProcess
) -> None:
    for number, make in enumerate((os.mkfifo, os.mkdir)):
        folder = tmp_path / "runs" / str(number)
        shutil.copytree(stored, folder)
        (folder / name).unlink()
        make(folder / name)
        done = here("show", str(folder))
        assert done.returncode in (2, 3)
        assert name in done.stderr


@pytest.mark.parametrize(
    "place", ["foo://bench/runs", "memory://", "/proc/nowhere", "/dev/null/runs"]
)
def test_where_results_cannot_go_is_told_before_the_run(place: str, here: InProcess) -> None:
    words = ["--encoder", "tiny", "--dataset", "tiny", "--disease", "spots"]
    done = here("run", *words, "--out", place)
    assert done.returncode in (2, 3)
    assert done.stderr.count("error:") == 1
    assert "optimize" not in done.stderr  # no phase has begun
    assert "load the encoder" not in done.stderr


def test_plain_names_are_let_be() -> None:
    for name in ("a", "run1/snapshots/000000000064.safetensors", ".attempts", "ä/ß.png", "com/x"):
        require_plain_path(name, "here")
    with pytest.raises(
        StoreError, match=r"here holds a file named '/etc/passwd', with an empty part"
    ):
        require_plain_path("/etc/passwd", "here")
