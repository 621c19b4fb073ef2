"""How a suite drives its jobs: retries, waiting, stopping."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tiny import manifest
from zobench_plugins.executors.local import LocalExecutor

from zobench.config import RunConfig
from zobench.contracts.executor import Executor, ExecutorRequest, Outcome, OutcomeState, Progress
from zobench.contracts.run_status import RunStatus
from zobench.records import layout
from zobench.records.manifest import read_manifest
from zobench.records.run_folder import RunFolder
from zobench.suite.file import read_suite
from zobench.suite.planning import Job
from zobench.suite.running import LIVES, Running, run_jobs
from zobench.suite.work import read_progress

Write = Callable[..., Path]

LOST = "ArithmeticError: lost my way, raised by Troubled.tell (zobench_tiny.py, line "


class Scripted:
    """An engine that ends one job at a time, with the outcome that the script gives."""

    capacity = 1

    def __init__(self, script: Mapping[str, list[OutcomeState]]) -> None:
        self._script = {name: deque(states) for name, states in script.items()}
        self.submitted: list[str] = []
        self._at: deque[Job] = deque()
        self.cancelled = False

    def submit(self, job: Job) -> None:
        self.submitted.append(job.identity)
        self._at.append(job)

    def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        while self._at:
            job = self._at.popleft()
            states = self._script.get(job.identity)
            state = states.popleft() if states else "done"
            yield job, Outcome("interrupted" if self.cancelled else state, state)

    def progress(self, job: Job) -> Progress | None:
        return None

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        pass


class Silent:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def show(self, standings: object, errors: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def jobs(tmp_path: Path, *names: str) -> list[Job]:
    return [Job(RunConfig(), tmp_path / name, name) for name in names]


def carried_out(
    wanted: list[Job],
    engine: Executor[Job],
    stopped: Callable[[], bool] = lambda: False,
) -> Running:
    return run_jobs(wanted, engine, Silent(), stopped)


def test_a_failure_is_recorded_and_stops_nobody(tmp_path: Path) -> None:
    a, b, c = wanted = jobs(tmp_path, "a", "b", "c")
    running = carried_out(wanted, Scripted({"b": ["failed"]}))
    assert running.standings == {a: "done", b: "failed", c: "done"}
    assert running.errors == {b: "failed"}


def test_a_run_with_a_damaged_manifest_has_failed_and_stops_nobody(tmp_path: Path) -> None:
    a, b = wanted = jobs(tmp_path, "a", "b")
    a.folder.mkdir()
    (a.folder / layout.MANIFEST).write_text("{")
    engine = Scripted({})
    running = carried_out(wanted, engine)
    assert running.standings == {a: "failed", b: "done"}
    assert "manifest.json is damaged" in running.errors[a]
    assert running.exit_codes == {a: 3}
    assert engine.submitted == ["b"]


def test_a_run_whose_worker_died_is_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    a, b = wanted = jobs(tmp_path, "a", "b")
    engine = Scripted({"a": ["lost"], "b": ["lost"] * 99})
    running = carried_out(wanted, engine)
    assert running.standings == {a: "done", b: "failed"}
    assert engine.submitted.count("a") == 2
    assert engine.submitted.count("b") == LIVES
    assert f"{LIVES} times" in running.errors[b]


def test_a_run_that_another_process_is_at_is_waited_for_and_then_gone_on_with(
    tmp_path: Path,
) -> None:
    (job,) = wanted = jobs(tmp_path, "a")
    other = RunFolder(job.folder)
    engine = Scripted({})
    seen: list[str] = []

    class Watching(Silent):
        def show(self, standings: Mapping[Job, str], errors: object) -> None:
            seen.append(standings[job])
            if len(seen) == 3:
                assert not engine.submitted
                other.close()

    running = run_jobs(wanted, engine, Watching(), lambda: False)
    assert seen[:3] == ["elsewhere"] * 3
    assert running.standings[job] == "done"
    assert engine.submitted == ["a"]


def test_what_another_process_finished_is_not_run_again(tmp_path: Path) -> None:
    (job,) = wanted = jobs(tmp_path, "a")
    other = RunFolder(job.folder)
    engine = Scripted({})

    class Finishing(Silent):
        def show(self, standings: Mapping[Job, str], errors: object) -> None:
            if standings[job] == "elsewhere":
                other.write_manifest(manifest(status=RunStatus.DONE))
                other.close()

    running = run_jobs(wanted, engine, Finishing(), lambda: False)
    assert running.standings[job] == "done"
    assert engine.submitted == []


def test_what_runs_have_to_tell_is_told_once(tmp_path: Path) -> None:
    class Telling(Scripted):
        def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
            for job, _ in super().as_completed(timeout):
                yield job, Outcome("done", notes=["all are rounded", f"{job.identity} alone"])

    board = Silent()
    run_jobs(jobs(tmp_path, "a", "b"), Telling({}), board, lambda: False)
    first = ["a: all are rounded", "a: a alone", "b: b alone"]
    assert board.notes == [*first, "2 runs: all are rounded"]


def test_a_stop_starts_nothing_new_and_asks_what_runs_to_save_itself(tmp_path: Path) -> None:
    wanted = jobs(tmp_path, "a", "b", "c")

    class Long(Scripted):
        def as_completed(self, timeout: float) -> Iterator[tuple[Job, Outcome]]:
            if self.cancelled:
                yield from super().as_completed(timeout)

    engine = Long({})
    running = carried_out(wanted, engine, stopped=lambda: bool(engine.submitted))
    assert engine.cancelled
    assert engine.submitted == ["a"]
    assert list(running.standings.values()) == ["interrupted", "waiting", "waiting"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalExecutor]:
    made = LocalExecutor(ExecutorRequest(tmp_path, jobs=2))
    yield made
    made.close()


def test_real_workers_die_fail_and_finish_beside_each_other(
    suite_file: Write, tmp_path: Path, engine: LocalExecutor
) -> None:
    marker = tmp_path / "died"
    deadly = f'{{name = "troubled", set = {{dies_at = 4, once = "{marker}"}}}}'
    faulty = '{name = "troubled", set = {fails_at = 3}}'
    suite = read_suite(suite_file(deadly, faulty, '"random"', seeds="1"))
    wanted = [
        Job(config, tmp_path / "runs" / str(number), str(number))
        for number, config in enumerate(suite.configs)
    ]
    running = carried_out(wanted, engine)
    assert [running.standings[job] for job in wanted] == ["done", "failed", "done"]
    assert running.errors[wanted[1]].startswith(LOST)
    failed = read_manifest(wanted[1].folder)
    assert failed.status is RunStatus.FAILED
    assert failed.error.startswith(LOST)
    assert marker.exists()
    assert read_manifest(wanted[0].folder).resumed == 1
    assert all(read_progress(job.folder) is None for job in wanted)


@pytest.mark.lengthy
def test_what_one_run_had_to_load_is_loaded_for_the_next_one(
    suite_file: Write, tmp_path: Path, engine: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "modules"
    monkeypatch.setenv("ZOBENCH_TEST_MODULES", str(told))
    tells = '{name = "vandal", set = {deed = "modules"}}'
    suite = read_suite(suite_file(tells, '"nevergrad:OnePlusOne"', seeds="1"))
    found = []
    for number in (0, 1, 0):
        job = Job(suite.configs[number], tmp_path / f"{number}-{len(found)}", str(number))
        assert carried_out([job], engine).errors == {}
        if number == 0:
            found.append(set(told.read_text().split()))
    first, last = found
    assert "torch" in first
    assert "nevergrad" not in first
    assert "nevergrad" in last
    assert not {name for name in last - first if name.startswith("zobench")}


def test_where_a_run_stands_can_be_read_while_it_runs(
    suite_file: Write, tmp_path: Path, engine: LocalExecutor
) -> None:
    slow = '{name = "troubled", set = {pause = 0.3}}'
    (config,) = read_suite(suite_file(slow, seeds="1")).configs
    job = Job(config, tmp_path / "run", "x")
    engine.submit(job)
    deadline = time.monotonic() + 60
    found: list[float] = []
    while len(set(found)) < 3 and time.monotonic() < deadline:
        now = read_progress(job.folder)
        if now is not None and now.phase == "optimize":
            assert now.total == 400
            found.append(now.done)
        time.sleep(0.05)
    assert len(set(found)) >= 3
    assert found == sorted(found)
    engine.cancel()
    ((_, outcome),) = engine.as_completed(60)
    assert outcome.state == "interrupted"
    assert json.loads((job.folder / layout.MANIFEST).read_text())["status"] == "interrupted"
