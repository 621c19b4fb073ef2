"""Suites on a real Ray cluster whose workers, nodes and head are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray_nodes import RayNodes, ray_nodes, why_not
from twins import same_runs

from zobench.records import layout, standing
from zobench.records.manifest import read_manifest

REASON = why_not()
pytestmark = [pytest.mark.lengthy, pytest.mark.skipif(bool(REASON), reason=REASON)]
Write = Callable[..., Path]

SLOW = '{name = "troubled", set = {pause = 0.1}}'

LOST = "ArithmeticError: lost my way, raised by Troubled.tell (zobench_tiny.py, line "


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RayNodes]:
    with ray_nodes(tmp_path) as found:
        yield found


def done(out: Path) -> int:
    return sum(standing.is_done(each) for each in layout.run_folders(out))


def on_ray(cluster: RayNodes, suite: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    words = ("suite", str(suite), "--out", str(out), "--executor", "ray")
    address = ("--address", cluster.address)
    return cluster.start("zobench", *words, *address, *more, log="suite.log")


def here(suite: Path, out: Path) -> None:
    words = ("suite", str(suite), "--out", str(out), "--jobs", "2", "--cpus-per-run", "1")
    subprocess.run(
        [sys.executable, "-m", "zobench", *words], check=True, capture_output=True, timeout=300
    )


def test_workers_raylets_nodes_and_the_head_die_and_every_run_is_its_local_twin(
    cluster: RayNodes, suite_file: Write, tmp_path: Path
) -> None:
    suite, out = suite_file(SLOW, '"random"', '"gezo"', seeds="8"), tmp_path / "ray"
    head, second = cluster.head(), cluster.node()
    begun = on_ray(cluster, suite, out)

    cluster.wait_for(lambda: len(cluster.at_work()) == 2)
    cluster.kill(cluster.at_work(head)[:1])  # a worker

    cluster.wait_for(lambda: done(out) >= 2 and cluster.at_work(second))
    cluster.kill(cluster.raylets(second))  # the worker of this node may still finish its run

    third = cluster.node()
    cluster.wait_for(lambda: done(out) >= 4 and cluster.at_work(third))
    cluster.kill(cluster.processes(third))  # a node

    cluster.wait_for(lambda: done(out) >= 6 and cluster.at_work(head))
    cluster.kill(cluster.processes(head), signal.SIGSTOP)
    time.sleep(2)  # the suite asks the head several times; one call is waiting now
    cluster.kill(cluster.processes(head))
    assert begun.wait(120) == 3
    log = (tmp_path / "suite.log").read_text()
    assert "does not answer any more" in log
    assert "Traceback" not in log
    before = done(out)
    assert before < 24

    cluster.kill(cluster.processes())
    cluster.head()
    cluster.node()
    assert on_ray(cluster, suite, out).wait(240) == 0
    assert done(out) == 24
    assert not (out / ".attempts").exists()

    here(suite, tmp_path / "here")
    assert len(same_runs(tmp_path / "here", out)) == 24


def test_a_stop_saves_what_runs_and_a_failure_is_not_tried_again(
    cluster: RayNodes, suite_file: Write, tmp_path: Path
) -> None:
    faulty = '{name = "troubled", set = {fails_at = 3}}'
    endless = '{name = "troubled", set = {pause = 1.0, candidates = 1}}'
    suite, out = suite_file(faulty, endless, seeds="1"), tmp_path / "ray"
    cluster.head()
    begun = on_ray(cluster, suite, out, "--json")
    cluster.wait_for(lambda: list(out.glob("*/manifest.json")))
    cluster.wait_for(lambda: list(out.glob(".attempts/*/*/*/trace.jsonl")))
    begun.terminate()
    assert begun.wait(60) == 130
    states = sorted(read_manifest(each).status for each in layout.run_folders(out))
    assert states == ["failed", "interrupted"]
    failed = next(
        manifest
        for each in layout.run_folders(out)
        if (manifest := read_manifest(each)).status == "failed"
    )
    assert failed.error.startswith(LOST)
    assert failed.resumed == 0


def test_a_node_that_lacks_a_plugin_or_the_folder_is_named(
    cluster: RayNodes, suite_file: Write, tmp_path: Path
) -> None:
    mine = cluster.environment["PYTHONPATH"]
    cluster.environment.pop("PYTHONPATH")
    cluster.head()
    cluster.environment["PYTHONPATH"] = mine
    begun = on_ray(cluster, suite_file('"random"'), tmp_path / "ray", "--json")
    assert begun.wait(120) == 3
    log = (tmp_path / "suite.log").read_text()
    assert "lacks zobench-tiny" in log
    assert "127.0.0.1" in log
    assert "Traceback" not in log


def test_no_cluster_is_an_error_that_says_how_to_start_one(
    cluster: RayNodes, suite_file: Write, tmp_path: Path
) -> None:
    begun = on_ray(cluster, suite_file('"random"'), tmp_path / "ray")
    assert begun.wait(120) == 3
    log = (tmp_path / "suite.log").read_text()
    assert "ray start --head" in log
    assert "Traceback" not in log


def test_one_is_started_here_where_none_is_given(suite_file: Write, tmp_path: Path) -> None:
    suite, out = suite_file('"random"', seeds="1"), tmp_path / "ray"
    words = ("suite", str(suite), "--out", str(out), "--executor", "ray", "--json")
    found = subprocess.run(
        [sys.executable, "-m", "zobench", *words], capture_output=True, text=True, timeout=200
    )
    assert found.returncode == 0, found.stderr
    assert [run["status"] for run in json.loads(found.stdout)["runs"]] == ["done"]
    assert "dashboard: http://127.0.0.1" in found.stderr
