"""A suite carries out each run once, and reports invalid runs before any run starts."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run_command
from served import served
from tiny import SIZES, TinyEncoder, run, tiny_registry

import zobench
from zobench.contracts.encoder import EncoderRequest
from zobench.contracts.listener import Silence
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, StoreError
from zobench.records import layout, standing
from zobench.records.identity import identity, problem
from zobench.records.manifest import read_manifest
from zobench.registry.discovery import load_registry
from zobench.runs.lifecycle import carry_out
from zobench.suite.engine import Engine
from zobench.suite.file import Problems, read_suite
from zobench.suite.planning import Job, plan, require_sound, runs_by_identity, tell_of_cuts


class Notes(Silence):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keeps the line."""
        self.notes.append(text)


Write = Callable[..., Path]


def planned(path: Path, out: Path) -> list[Job]:
    return plan(read_suite(path), path, out, load_registry(), Silence())


def test_a_run_that_was_started_by_hand_is_not_run_again(suite_file: Write, tmp_path: Path) -> None:
    path = suite_file(seeds="[0, 1]")
    config = read_suite(path).configs[1]
    by_hand = zobench.run(config, out=tmp_path / "runs")
    jobs = planned(path, tmp_path / "runs")
    assert [standing.is_done(job.folder) for job in jobs] == [False, True, False, False]
    assert jobs[1].folder == by_hand.run_dir
    assert len({job.folder for job in jobs}) == len({job.identity for job in jobs}) == 4


def test_a_run_that_a_limit_ended_is_named_once_the_suite_has_another_limit(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file('"random"', seeds="1")
    (config,) = read_suite(path).configs
    cut = zobench.run(config.changed(max_time=1e-6), out=tmp_path / "runs")
    (job,) = planned(path, tmp_path / "runs")
    assert job.folder == cut.run_dir

    def notes(job: Job) -> list[str]:
        told = Notes()
        tell_of_cuts([job], told)
        return told.notes

    assert notes(replace(job, config=config.changed(max_time=1e-6))) == []
    assert notes(replace(job, config=config.changed(max_time=1e-7))) == []
    (longer,) = notes(replace(job, config=config.changed(max_time=90.0)))
    assert longer.endswith("--max-time 90s")
    (published,) = notes(replace(job, url="s3://bucket/runs"))
    assert published.startswith(f"s3://bucket/runs/{cut.run_dir.name} counts as done")
    assert published.endswith("go on with the copy: zobench resume COPY --max-time 0")
    (note,) = notes(job)
    assert "counts as done, but max_time 1e-06 ended it after" in note
    _, _, command = note.partition("go on with it: ")
    done = run_command(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert read_manifest(cut.run_dir).ended_by == "budget"
    (again,) = planned(path, tmp_path / "runs")
    assert again.folder == cut.run_dir
    assert notes(again) == []


def test_of_two_runs_with_one_identity_the_suite_takes_the_whole_one(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file('"random"', seeds="1")
    (config,) = read_suite(path).configs
    for out in ("1", "2", "3"):
        zobench.run(config.changed(max_time=1e-6), out=tmp_path / "runs" / out)
    whole = zobench.run(config, out=tmp_path / "runs" / "2")
    there = list((tmp_path / "runs").glob("*/*"))
    assert runs_by_identity(there) == {identity(whole.manifest): whole.run_dir}


def test_another_seed_or_optimizer_leaves_the_others_where_they_are(
    suite_file: Write, tmp_path: Path
) -> None:
    before = planned(suite_file(seeds="1"), tmp_path / "runs")
    after = planned(suite_file('"spsa"', '"random"', '"gezo"', seeds="2"), tmp_path / "runs")
    assert set(before) < set(after)
    assert len(after) == 6


def test_a_run_of_the_command_line_is_the_suites_however_its_numbers_are_typed(
    suite_file: Write, tmp_path: Path
) -> None:
    more = 'tolerance = 2\npenalty = 0\nbaselines = "leace-cells,reweighing"\nsnapshots = 3\nscored = 99'
    path = suite_file('"random"', seeds="1", more=more)
    (config,) = read_suite(path).configs
    spelled = {
        "tolerance": 2.0,
        "penalty": 0.0,
        "baselines": "leace-cells, reweighing",
        "scored": 3,
    }
    by_hand = zobench.run(config.changed(**spelled), out=tmp_path / "runs")
    (job,) = planned(path, tmp_path / "runs")
    assert job.folder == by_hand.run_dir
    assert job.done


def test_all_that_cannot_run_is_listed_and_nothing_is_begun(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file('"gezoo"', '{name = "adam", set = {lrr = 1}}', '"random"')
    with pytest.raises(ConfigError) as caught:
        planned(path, tmp_path / "runs")
    for words in ("did you mean 'gezo'", "did you mean 'lr'", "nothing was started"):
        assert words in str(caught.value)
    assert str(caught.value).count("did you mean 'gezo'") == 1
    assert not (tmp_path / "runs").exists()


def test_what_the_file_alone_tells_is_told_before_an_encoder_is_loaded(
    suite_file: Write, tmp_path: Path
) -> None:
    loaded: list[str] = []

    def load(request: EncoderRequest) -> TinyEncoder:
        loaded.append(request.name)
        return TinyEncoder()

    path, out = suite_file('"random"', '{name = "adam", set = {lr = -1}}'), tmp_path / "runs"
    registry = tiny_registry(load)
    with pytest.raises(ConfigError, match="lr is -1"):
        plan(read_suite(path), path, out, registry, Silence())
    assert not loaded
    path = suite_file('"nevergrad:Foo"')  # nevergrad knows, and is loaded late
    with pytest.raises(ConfigError, match="Foo"):
        plan(read_suite(path), path, out, registry, Silence())
    assert loaded == ["tiny"]


def test_what_only_digests_tell_apart_is_declared_once_each(
    suite_file: Write, tmp_path: Path
) -> None:
    path, registry = suite_file('"random"', seeds="1"), load_registry()
    sides = '{{name = "http:oip", set = {{url = "http://127.0.0.1:{port}"}}}}'
    both = ", ".join(sides.format(port=port) for port in (8001, 8002))
    path.write_text(path.read_text().replace('encoders = ["tiny"]', f"encoders = [{both}]"))
    require_sound(read_suite(path), path, registry, Problems())
    path.write_text(path.read_text().replace("8002", "8001"))
    with pytest.raises(ConfigError, match="declared twice"):
        require_sound(read_suite(path), path, registry, Problems())


def test_a_default_that_is_spelt_out_is_the_same_run(suite_file: Write, tmp_path: Path) -> None:
    path = suite_file('"adam"', '{name = "adam", set = {lr = 0.01}}', seeds="1")
    with pytest.raises(ConfigError, match="declared twice") as refused:
        planned(path, tmp_path / "runs")
    assert "what comes to the same: optimizer.lr=0.01 / without them" in str(refused.value)
    path = suite_file('"adam"', '"adam"', seeds="1")
    with pytest.raises(ConfigError, match=r"has a problem; .*\n.* is declared twice$") as refused:
        planned(path, tmp_path / "runs")
    assert str(refused.value).count("twice") == 1


def test_runs_are_not_put_into_a_run(suite_file: Write, tmp_path: Path) -> None:
    there = run(tmp_path / "my runs", optimizer="random", overrides=SIZES).run_dir
    words = "holds a manifest.json, so it is a run, and new runs go into a folder of runs; name"
    with pytest.raises(ConfigError, match=words):
        zobench.run_suite(suite_file(seeds="1"), out=there, registry=tiny_registry())
    with pytest.raises(ConfigError, match=words):
        run(there, optimizer="random", overrides=SIZES)
    with pytest.raises(StoreError, match="File name too long"):
        run(tmp_path / ("a" * 300), optimizer="random", overrides=SIZES)


def test_a_wrong_number_of_jobs_is_refused_though_all_runs_are_done(
    suite_file: Write, tmp_path: Path
) -> None:
    for jobs in ("2", 1.5, 0, True):
        with pytest.raises(ConfigError, match=f"--jobs is {jobs!r}, but must be a whole number"):
            Engine(jobs=jobs).require_known(load_registry())
        with pytest.raises(ConfigError, match=f"--jobs is {jobs!r}, but must be a whole number"):
            zobench.run_suite(suite_file(seeds="1"), out=tmp_path / "runs", jobs=jobs)
    assert not list(tmp_path.rglob("manifest.json"))
    Engine(jobs=np.int64(2)).require_known(load_registry())


def test_identity_is_what_can_change_the_result_and_nothing_else(
    suite_file: Write, tmp_path: Path
) -> None:
    (config,) = read_suite(suite_file('"random"', seeds="1")).configs
    manifest = read_manifest(carry_out(config, tmp_path / "one").run_dir)
    name = identity(manifest)
    config, encoder = manifest.config, manifest.encoder
    for same in (
        manifest.changed(status=RunStatus.FAILED, wall_seconds=9.0, machine={}),
        manifest.changed(config=config.changed(data_root="/elsewhere", device="cpu")),
        manifest.changed(config=config.changed(max_cost=3.0)),
        manifest.changed(config=config.changed(tolerance=1, penalty=np.float64(config.penalty))),
        manifest.changed(config=config.changed(box=-0.0)),
        manifest.changed(config=config.changed(baselines=config.baselines.replace(",", " , "))),
        manifest.changed(config=config.changed(snapshots=np.int64(config.snapshots))),
    ):
        assert identity(same) == name
    others = [
        manifest.changed(schema=999),
        manifest.changed(config=config.changed(budget=401)),
        manifest.changed(parameters={**manifest.parameters, "optimizer": {"step": 0.1}}),
        manifest.changed(encoder=replace(encoder, digest="other weights")),
        manifest.changed(dataset=replace(manifest.dataset, digest="other films")),
        manifest.changed(split=replace(manifest.split, digest="other patients")),
        manifest.changed(versions={**manifest.versions, "zobench-tiny": "1"}),
    ]
    assert len({identity(each) for each in others} | {name}) == len(others) + 1
    moved, twin = (
        manifest.changed(encoder=replace(encoder, settings={"device": device, "precision": "bf16"}))
        for device in ("cuda:0", "cuda:1")
    )
    assert identity(moved) == identity(twin) != name


@pytest.mark.lengthy
def test_where_a_service_is_and_how_many_lines_lead_there_make_no_other_run(tmp_path: Path) -> None:
    def named(*words: str) -> tuple[str, str]:
        with served() as server:
            lines = {"url": server.url, **dict(word.split("=") for word in words)}
            config = zobench.RunConfig(
                optimizer="random",
                encoder="http:oip",
                dataset="tiny",
                disease="spots",
                budget=400,
                batch_size=8,
                overrides={"encoder": lines, "split": {"train": 60, "test_per_cell": 20}},
            )
            manifest = read_manifest(carry_out(config, tmp_path / str(server.port)).run_dir)
        return identity(manifest), problem(manifest.config, manifest.parameters)

    assert named() == named("connections=2", "price=0.1", "chunk=7")
    assert named()[1] == "tiny/spots http:oip"


def test_carrying_out_a_run_twice_only_reads_it(suite_file: Write, tmp_path: Path) -> None:
    config = replace(read_suite(suite_file('"random"', seeds="1")).configs[0], seed=5)
    first = carry_out(config, tmp_path / "run")
    written = (tmp_path / "run" / layout.MANIFEST).stat().st_mtime_ns
    assert carry_out(config, tmp_path / "run").scores == first.scores
    assert (tmp_path / "run" / layout.MANIFEST).stat().st_mtime_ns == written


def planned_together(path: Path, out: Path) -> list[Job]:
    """Plans as the command does: one error lists the problems of the file and of its runs."""
    problems = Problems()
    return plan(read_suite(path, problems), path, out, load_registry(), Silence(), problems)


def test_names_are_checked_whatever_else_keeps_runs_from_being_made(
    suite_file: Write, tmp_path: Path
) -> None:
    path = suite_file('"gezoo"', seeds="[]", more="snapshots = 0\npenalty = -1")
    path.write_text(path.read_text().replace('encoders = ["tiny"]', 'encoders = ["tinny"]'))
    with pytest.raises(ConfigError) as caught:
        planned_together(path, tmp_path / "runs")
    for words in ("seeds is []", "did you mean 'gezo'", "did you mean 'tiny'"):
        assert words in str(caught.value)
    path = suite_file('"gezoo"', more="snapshots = 0\npenalty = -1")
    with pytest.raises(ConfigError) as caught:
        planned_together(path, tmp_path / "runs")
    for words in ("snapshots is 0", "penalty is -1", "did you mean 'gezo'"):
        assert words in str(caught.value)
