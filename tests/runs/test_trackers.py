"""Trackers receive each stored row once; a failing tracker does not disturb the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import SIZES, TinyEncoder, config, run, tiny_registry
from torch import Tensor
from zobench_plugins.trackers.figures import settings

import zobench
from zobench.contracts.listener import Silence
from zobench.contracts.run_status import RunStatus
from zobench.contracts.tracker import TrackerRequest
from zobench.errors import ConfigError, EncoderError
from zobench.files.json_files import Json
from zobench.files.row_files import read_rows
from zobench.records import layout
from zobench.records.manifest import read_manifest
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.runs.lifecycle import resume_run, start_run

CONFIG = config("random")


class Diary:
    """A tracker that stores its calls in ``pages``."""

    pages: list[tuple[str, Any]]

    def __init__(self, request: TrackerRequest) -> None:
        self.argument = request.argument

    def started(self, manifest: Mapping[str, Any], rows: Sequence[Json]) -> None:
        self.pages.append(("started", [row["ask"] for row in rows]))

    def rows(self, rows: Sequence[Json]) -> None:
        if self.argument == "fails":
            raise OSError("the server is down")
        self.pages.append(("rows", [row["ask"] for row in rows]))

    def snapshot(self, queries: int, path: Path) -> None:
        assert path.is_file()
        self.pages.append(("snapshot", queries))

    def ended(self, status: str, result: Mapping[str, Any] | None) -> None:
        if self.argument == "stopped":
            raise KeyboardInterrupt
        self.pages.append(("ended", (status, result)))


def registry(pages: list[tuple[str, Any]], **more: Any) -> Registry:
    tracker = type("Mine", (Diary,), {"pages": pages})
    offers: dict[Any, Any] = dict(tiny_registry(**more).offers)
    plugin = Plugin(tracker, "test", argument="how")
    offers["trackers"] = {**offers["trackers"], "diary": Offer("diary", plugin, "tests")}
    return Registry(offers)


def told(pages: list[tuple[str, Any]], what: str) -> list[Any]:
    return [content for name, content in pages if name == what]


def test_a_tracker_hears_every_row_and_snapshot_once_and_the_result(tmp_path: Path) -> None:
    pages: list[tuple[str, Any]] = []
    result = start_run(CONFIG, tmp_path, registry=registry(pages), trackers=["diary:well"])
    stored = [row["ask"] for row in read_rows(result.run_dir / layout.TRACE).rows]
    assert [ask for rows in told(pages, "rows") for ask in rows] == stored
    assert told(pages, "snapshot") == layout.snapshot_queries(result.run_dir)
    assert told(pages, "started") == [[]]
    assert told(pages, "ended") == [("done", result.as_dict())]


def test_a_resumed_run_tells_what_was_there_and_then_the_rest(tmp_path: Path) -> None:
    class Failing(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            answer = super().embed(images)
            return answer / 0 if sum(self.calls) > 400 else answer

    pages: list[tuple[str, Any]] = []
    with pytest.raises(EncoderError):
        start_run(
            CONFIG,
            tmp_path,
            registry=registry(pages, encoder=lambda request: Failing()),
            trackers=["diary:well"],
        )
    assert told(pages, "ended") == [("failed", None)]
    (folder,) = tmp_path.iterdir()
    resume_run(folder, registry=registry(pages), trackers=["diary:well"])
    (before,) = [rows for rows in told(pages, "started") if rows]
    assert 0 < len(before) < 8
    heard = [ask for rows in told(pages, "rows") for ask in rows]
    assert heard == [row["ask"] for row in read_rows(folder / layout.TRACE).rows]
    assert before == heard[: len(before)]


def test_a_tracker_that_raises_is_told_of_and_switched_off(tmp_path: Path) -> None:
    notes: list[str] = []

    class Listening(Silence):
        def note(self, text: str) -> None:
            notes.append(text)

    pages: list[tuple[str, Any]] = []
    result = start_run(
        CONFIG,
        tmp_path,
        registry=registry(pages),
        listener=Listening(),
        trackers=["diary:fails", "diary:well"],
    )
    assert result.status == "done"
    (note,) = notes
    assert "diary:fails" in note
    assert "the server is down" in note
    assert len(told(pages, "ended")) == 1
    without = run(tmp_path / "without", optimizer="random", overrides=SIZES)
    assert result.scores == without.scores


def test_an_unknown_tracker_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        start_run(CONFIG, tmp_path, registry=registry([]), trackers=["tensorbord"])
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_curves_that_it_can_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    result = start_run(CONFIG, tmp_path, registry=registry([]), trackers=["tensorboard"])
    (events,) = (result.run_dir / "tensorboard").glob("events.*")
    content = events.read_bytes()
    for tag in (b"optimize/value_mean", b"score/eo_p", b"edit", b"config"):
        assert tag in content
    assert zobench.show(result.run_dir).status == "done"


def test_a_tracker_that_lacks_its_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb", "mlflow"):
        with pytest.raises(ConfigError, match=rf"zobench\[{name}\]"):
            start_run(CONFIG, tmp_path, registry=registry([]), trackers=[name])
    assert list(tmp_path.iterdir()) == []


def test_wandb_offline_has_the_curves_and_scores_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    notes: list[str] = []

    class Listening(Silence):
        def note(self, text: str) -> None:
            notes.append(text)

    wandb = pytest.importorskip("wandb")
    result = start_run(
        CONFIG, tmp_path, registry=registry([]), trackers=["wandb:mine"], listener=Listening()
    )
    assert notes == []
    assert wandb.run is None
    (offline,) = (result.run_dir / "wandb").glob("offline-run-*")
    (stored,) = offline.glob("*.wandb")
    assert result.run_id in stored.name
    content = stored.read_bytes()
    row = result.trace[-1]
    for word in (
        "mine",
        "optimize/value_mean",
        repr(row["value_mean"]),
        "score/eo_p",
        "optimizer.step",
    ):
        assert word.encode() in content, word
    assert repr(result.scores[-1].objective).encode() in content
    assert b"data_root" not in content


def test_a_wandb_run_of_the_users_own_script_stays_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with wandb.init(project="own", dir=str(tmp_path)) as own:
        result = start_run(CONFIG, tmp_path / "runs", registry=registry([]), trackers=["wandb"])
        assert wandb.run is own
        own.log({"mine": 1.0})
    (stored,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert b"optimize/value_mean" not in stored.read_bytes()
    assert list((result.run_dir / "wandb").glob("offline-run-*/*.wandb"))
    wandb.teardown()


def test_a_resumed_run_goes_on_in_wandb_without_sending_a_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    short = start_run(CONFIG, tmp_path, registry=registry([]), trackers=["wandb"])
    monkeypatch.setenv("WANDB_BASE_URL", wandb.Settings().base_url)  # the usual one, named
    cut = len(short.trace)
    resume_run(short.run_dir, registry=registry([]), trackers=["wandb"], budget=800)
    first, second = sorted((short.run_dir / "wandb").glob("offline-run-*/*.wandb"))
    before, after = first.read_bytes(), second.read_bytes()
    found = zobench.show(short.run_dir, registry=registry([]))
    sent = [repr(row["value_mean"]).encode() for row in found.trace]
    assert all(value in before and value not in after for value in sent[:cut])
    assert all(value in after and value not in before for value in sent[cut:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow and SQLAlchemy 2.1
def test_mlflow_has_one_run_with_the_whole_curve_however_often_it_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    short = start_run(CONFIG, tmp_path / "runs", registry=registry([]), trackers=["mlflow:mine"])
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("mine")
    (before,) = client.search_runs([experiment.experiment_id])
    assert before.info.status == "FINISHED"
    assert before.data.params["optimizer.step"] == "0.01"
    found = resume_run(short.run_dir, registry=registry([]), trackers=["mlflow:mine"], budget=800)
    (run_there,) = client.search_runs([experiment.experiment_id])
    assert run_there.data.tags["zobench.verdict"] == found.verdict.text
    curve = client.get_metric_history(run_there.info.run_id, "optimize/value_mean")
    assert [(each.step, each.value) for each in curve] == [
        (row["queries"], row["value_mean"]) for row in found.trace
    ]
    last = found.scores[-1]
    assert run_there.data.metrics["score/objective"] == pytest.approx(last.objective)
    assert run_there.data.metrics["score/recovery"] == pytest.approx(last.recovery.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow and SQLAlchemy 2.1
def test_each_mlflow_experiment_has_the_whole_curve_and_may_be_made_by_another_run_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    create = mlflow.MlflowClient.create_experiment

    def late(self: Any, name: str) -> Any:
        create(self, name)  # the other run
        return create(self, name)

    monkeypatch.setattr(mlflow.MlflowClient, "create_experiment", late)
    heard: list[str] = []

    class Listening(Silence):
        def note(self, text: str) -> None:
            heard.append(text)

    names, both = registry([]), ["mlflow:one", "mlflow:other"]
    short = start_run(CONFIG, tmp_path / "runs", registry=names, trackers=["mlflow:one"])
    resume_run(short.run_dir, registry=names, trackers=both, budget=800, listener=Listening())
    assert heard == []
    client = mlflow.MlflowClient()
    steps = [row["queries"] for row in zobench.show(short.run_dir, registry=names).trace]
    for name in ("one", "other"):
        (there,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
        curve = client.get_metric_history(there.info.run_id, "optimize/value_mean")
        assert [each.step for each in curve] == steps


def test_tensorboard_follows_from_where_it_was_left(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from zobench_plugins.trackers.tensorboard import TensorBoard

    result = start_run(CONFIG, tmp_path, registry=registry([]))
    rows = read_rows(result.run_dir / layout.TRACE).rows
    heard: list[int] = []

    class Heard(TensorBoard):
        def rows(self, rows: Sequence[Json]) -> None:
            heard.extend(row["ask"] for row in rows)
            super().rows(rows)

    for there in (rows[:2], rows[:5], rows):  # resumed twice; the tracker missed some rows
        tracker = Heard(TrackerRequest("", result.run_dir))
        tracker.started(result.manifest.as_json(), there)
        tracker.ended(RunStatus.INTERRUPTED, None)
    assert heard == [row["ask"] for row in rows]


def test_no_path_of_this_machine_is_sent() -> None:
    manifest = {
        "config": {
            "optimizer": "surrogate:onnx:/home/alice/clinic/x.onnx",
            "encoder": "onnx:../clinic/model.onnx",
            "dataset": "table",
            "data_root": "/data/clinic",
            "disease": "edema",
            "overrides": {},
        },
        "parameters": {
            "encoder": {"template": "own.toml", "url": "https://api.clinic.org/v1", "size": 224},
            "dataset": {"demographics": "/data/clinic/DEMO.csv", "rows": "lists/clinic.txt"},
            "optimizer": {"local.weights": "~/clinic.safetensors", "where": "race==A/B"},
        },
    }
    sent = settings(manifest)
    assert "clinic" not in str(sent)
    assert sent["optimizer"] == "surrogate:onnx:x.onnx"
    assert sent["encoder"] == "onnx:model.onnx"
    assert sent["encoder.size"] == 224
    assert sent["optimizer.where"] == "race==A/B"
    hub = {**manifest, "config": {**manifest["config"], "encoder": "hf:facebook/dinov2-small"}}
    assert settings(hub)["encoder"] == "hf:facebook/dinov2-small"


def test_ctrl_c_while_a_tracker_is_told_the_end_loses_no_result(tmp_path: Path) -> None:
    pages: list[tuple[str, Any]] = []
    result = start_run(CONFIG, tmp_path, registry=registry(pages), trackers=["diary:stopped"])
    assert result.status is RunStatus.DONE
    assert read_manifest(result.location).status is RunStatus.DONE
