"""Runs at a URL: a mock S3 server on 127.0.0.1, and machines that share only that server."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import s3fs
from commands import Command, run_command
from moto.server import ThreadedMotoServer
from tiny import write_suite
from twins import same_runs

from zobench.errors import ConfigError, StoreError
from zobench.records import layout, standing
from zobench.records.manifest import read_manifest
from zobench.records.urls import copies

pytestmark = pytest.mark.lengthy

Write = Callable[..., Path]
Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[s3fs.S3FileSystem]:
    """An empty bucket called ``bench``."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ZOBENCH_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("bench")
    yield system
    system.rm("bench", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def machine(bucket: s3fs.S3FileSystem, tmp_path: Path) -> Machine:
    """Runs the command as on another machine, with a separate folder and cache per machine."""

    def call(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return run_command(*words, cwd=folder, timeout=240, ZOBENCH_CACHE=str(folder / "cache"))

    return call


@pytest.fixture
def reader(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> Machine:
    """Runs a command that only reads as on another machine, but in this process, which is faster."""

    def call(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.setenv("ZOBENCH_CACHE", str(folder / "cache"))
            patch.chdir(folder)
            s3fs.S3FileSystem.clear_instance_cache()  # it knows what the last machine saw
            return here(*words)

    return call


@pytest.fixture(scope="module")
def computed(tiny_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs of ``random``, computed once."""
    folder = tmp_path_factory.mktemp("computed")
    suite = str(write_suite(folder, '"random"'))
    done = run_command("suite", suite, "--out", "runs", "--cpus-per-run", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs"


@pytest.fixture
def finished(computed: Path, tmp_path: Path) -> list[Path]:
    """The run folders of a copy of :func:`computed` that a test may change."""
    return layout.run_folders(shutil.copytree(computed, tmp_path / "one" / "runs"))


URL = "s3://bench/runs"


def test_machines_that_share_only_a_bucket_share_a_suite(
    machine: Machine,
    reader: Machine,
    suite_file: Write,
    tmp_path: Path,
    bucket: s3fs.S3FileSystem,
) -> None:
    suite = str(suite_file('"random"', '"gezo"'))
    first = machine("one", "suite", suite, "--out", URL, "--jobs", "2", "--cpus-per-run", "1")
    assert first.returncode == 0, first.stderr
    assert len(bucket.glob("bench/runs/*/done-*/manifest.json")) == 4
    assert not bucket.glob("bench/runs/**/.*")

    second = machine("two", "suite", suite, "--out", URL, "--json")
    assert second.returncode == 0, second.stderr
    assert [run["status"] for run in json.loads(second.stdout)["runs"]] == ["done"] * 4
    assert "running" not in second.stderr

    machine("three", "suite", suite, "--out", "runs", "--cpus-per-run", "1")
    assert len(same_runs(tmp_path / "three" / "runs", copies.fetch(URL).path)) == 4

    listed = reader("four", "show", URL, "--json")
    assert len(json.loads(listed.stdout)) == 4
    one = reader("four", "show", f"{URL}/{Path(json.loads(listed.stdout)[0]['folder']).name}")
    assert "ERM" in one.stdout
    for words in (
        ("report", URL, "-o", "page.html"),
        ("compare", URL, "--a", "gezo", "--b", "random"),
        ("gate", URL, "--baseline", "baseline.json", "--update"),
        ("gate", URL, "--baseline", "baseline.json"),
    ):
        found = reader("four", *words)
        assert found.returncode == 0, found.stderr
    assert (tmp_path / "four" / "page.html").stat().st_size > 1e6


def test_a_run_that_one_machine_left_goes_on_at_another(
    machine: Machine, reader: Machine, bucket: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    slow = ("--optimizer", "troubled", "--set", "optimizer.pause=0.3")
    tiny = ("--encoder", "tiny", "--dataset", "tiny", "--disease", "spots", "--budget", "400")
    sizes = ("--set", "split.train=120", "--set", "split.test_per_cell=40", "--batch-size", "10")
    cache = tmp_path / "one"
    begun = Command("run", *slow, *tiny, *sizes, "--out", URL, ZOBENCH_CACHE=str(cache))
    while not list(cache.glob("urls/*/runs/*/checkpoint/*")):
        assert begun.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.1)
    begun.send_signal(signal.SIGTERM)
    assert begun.wait(60) == 130
    said = begun.communicate()[1]
    (state,) = bucket.glob("bench/runs/*/unfinished-*/manifest.json")
    assert json.loads(bucket.cat_file(state))["status"] == "interrupted"

    run = f"s3://{state.partition('/unfinished-')[0]}"
    assert f"zobench resume {run}\n" in said
    found = machine("two", "resume", run, "--json")
    assert found.returncode == 0, found.stderr
    bucket.invalidate_cache()
    (end,) = bucket.glob(f"{run}/done-*")
    assert json.loads(bucket.cat_file(f"{end}/manifest.json"))["status"] == "done"
    assert not bucket.glob(f"{run}/unfinished-*")
    assert bucket.exists(f"{end}/checkpoint/state.safetensors")  # a copy of the run can be extended
    assert machine("three", "verify", run).returncode == 0
    assert f"zobench show {run}\n" in reader("three", "show", run).stdout


def test_a_torn_upload_is_no_run_and_the_next_one_completes_it(
    finished: list[Path], bucket: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = finished
    shutil.rmtree(other)
    whole = s3fs.S3FileSystem._put_file
    left = 3

    async def torn(self: Any, *words: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            await asyncio.sleep(1)
            raise OSError("the line is dead")
        return await whole(self, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_put_file", torn)
        with pytest.raises(StoreError, match="the line is dead"):
            copies.publish_run(run, URL)
    assert bucket.find("bench/runs")
    assert layout.run_folders(copies.fetch(URL)) == []

    copies.publish_run(run, URL)
    (copy,) = layout.run_folders(copies.fetch(URL))
    same_runs(run.parent, copy.parent)


def test_who_publishes_second_yields(finished: list[Path], bucket: s3fs.S3FileSystem) -> None:
    run, _ = finished
    copies.publish_run(run, URL)
    before = bucket.find("bench/runs", detail=True)
    timing = (run / "timing.jsonl").read_text()
    (run / "timing.jsonl").write_text("{}\n")
    copies.publish_run(run, URL)
    bucket.invalidate_cache()
    assert bucket.find("bench/runs", detail=True) == before
    assert (run / "timing.jsonl").read_text() == timing


def test_a_copy_follows_what_is_there(finished: list[Path], bucket: s3fs.S3FileSystem) -> None:
    one, other = finished
    copies.publish_run(one, URL)
    copies.publish_run(other, URL)
    found = layout.run_folders(copies.fetch(URL))
    assert [each.name for each in found] == [one.name, other.name]
    before = (found[0] / layout.TRACE).stat().st_mtime_ns
    bucket.rm(f"bench/runs/{other.name}", recursive=True)
    found = layout.run_folders(copies.fetch(URL))
    assert [each.name for each in found] == [one.name]
    assert (found[0] / layout.TRACE).stat().st_mtime_ns == before  # not downloaded again


def test_two_that_fetch_at_once_both_have_the_run(
    finished: list[Path], bucket: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.publish_run(finished[0], URL)
    both, note, rmtree = Barrier(2), copies._note, shutil.rmtree

    def noted(*words: Any) -> None:
        note(*words)
        both.wait(timeout=60)  # both have downloaded the run, and none has put it in place

    def removed(folder: Path, **words: Any) -> None:
        rmtree(folder, **words)
        if folder.name == finished[0].name:
            time.sleep(0.5)  # without a lock, the other one looks now, and sees no copy

    monkeypatch.setattr(copies, "_note", noted)
    monkeypatch.setattr(shutil, "rmtree", removed)
    with ThreadPoolExecutor(2) as pool:
        for each in pool.map(copies.fetch, (URL, URL)):
            assert [folder.name for folder in layout.run_folders(each.path)] == [finished[0].name]


def test_a_place_that_holds_nothing_is_called_by_its_url(
    reader: Machine, bucket: s3fs.S3FileSystem
) -> None:
    for words in (("show", URL), ("report", URL), ("verify", f"{URL}/nobody")):
        found = reader("one", *words)
        assert found.returncode == 2, found.stderr
        assert words[1] in " ".join(found.stderr.split())
        assert "cache" not in found.stderr


def test_any_filesystem_will_do(
    machine: Machine, reader: Machine, suite_file: Write, tmp_path: Path
) -> None:
    url = (tmp_path / "shelf").as_uri()
    found = machine("one", "suite", str(suite_file('"random"', seeds="1")), "--out", url)
    assert found.returncode == 0, found.stderr
    (end,) = (tmp_path / "shelf").glob("*/*")
    assert standing.is_done(end)
    assert json.loads(reader("two", "show", url, "--json").stdout)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://bench/runs", "fsspec"),
        ("gs://bench/runs", "pip install 'zobench\\[gs\\]'"),
    ],
)
def test_a_filesystem_that_is_not_installed_is_named(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        copies.fetch(url)


def test_what_could_not_be_published_is_published_by_the_next_call(
    machine: Machine, suite_file: Write, computed: Path, tmp_path: Path
) -> None:
    words = ("suite", str(suite_file('"random"', seeds="1")), "--out")
    twin, _ = layout.run_folders(computed)
    obstacle = tmp_path / "shelf" / twin.name
    obstacle.parent.mkdir()
    obstacle.write_text("a file where a folder should be")
    torn = machine("one", *words, obstacle.parent.as_uri())
    assert torn.returncode == 3, torn.stderr
    (run,) = (tmp_path / "one").glob(f"cache/urls/*/shelf/{twin.name}")
    before = read_manifest(run)
    obstacle.unlink()
    again = machine("one", *words, obstacle.parent.as_uri())
    assert again.returncode == 0, again.stderr
    (end,) = obstacle.iterdir()
    assert read_manifest(end) == before  # it was not computed again


def test_a_server_that_is_not_there_is_told(
    machine: Machine, suite_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = machine("one", "suite", str(suite_file('"random"', seeds="1")), "--out", URL)
    assert found.returncode == 3
    assert "s3://bench/runs cannot be read or written" in found.stderr
    assert "Traceback" not in found.stderr
