"""Whole runs on a tiny encoder and dataset: the loop, the stored files, and the scores."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import SIZES, TinyDataset, TinyEncoder, config, run, tiny_registry
from torch import Tensor
from zobench_plugins.optimizers.gezo import Gezo

import zobench
from zobench.cli.display.result import print_result
from zobench.cli.display.run_lists import print_runs
from zobench.contracts.metric import Predictions
from zobench.contracts.optimizer import Answer, Ask, OptimizerContext
from zobench.errors import BudgetExhausted, ConfigError, ModelChanged, PluginError
from zobench.measures.group_rates import compute
from zobench.records import layout
from zobench.records.stored_run import StoredRun
from zobench.records.summary_line import summary_line
from zobench.runs.forecast import foresee
from zobench.runs.lifecycle import resume_run, start_run
from zobench.runs.loop import snapshot_schedule


def test_a_run_finishes_with_a_row_for_erm_and_each_snapshot(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.status == "done"
    assert result.scores[0].queries == 0
    assert result.scores[-1].queries == 400
    assert result.fpq is not None
    assert result.ledger["optimize"]["queries"] == 400
    assert result.ledger["setup"]["queries"] == 120
    edits = [StoredRun(result.run_dir).edit_after(score.queries) for score in result.scores[1:]]
    distinct = {edit.numpy().tobytes() for edit in edits if edit.any()}
    images = 160 + (len(distinct) + 2) * (160 + 120)  # placebo and negative of the last edit
    assert result.ledger["score"]["forward"] == images
    for name in ("edit.npy", "edit.png", "before-after.png"):
        assert (result.run_dir / name).stat().st_size > 0


@pytest.mark.parametrize("record", [False, True])
def test_an_optimizer_may_prepare_its_next_ask_but_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: bool
) -> None:
    whole, prepared = run(tmp_path / "plain"), 0
    plain = Gezo.prepare

    def prepare(self: Gezo) -> None:
        nonlocal prepared
        prepared += 1
        plain(self)

    monkeypatch.setattr(Gezo, "prepare", prepare)
    found = start_run(whole.config, tmp_path / "counted", registry=tiny_registry(), record=record)
    assert prepared == len(found.trace) > 1
    assert np.array_equal(found.edit, whole.edit)

    def ends(self: Gezo) -> None:
        raise BudgetExhausted("of its own accord")

    monkeypatch.setattr(Gezo, "prepare", ends)
    with pytest.raises(PluginError, match=r"'gezo': prepare\(\) raised BudgetExhausted"):
        run(tmp_path / "ended")


def test_an_edit_that_did_not_change_is_scored_once(tmp_path: Path) -> None:
    """Each distinct edit is embedded once, but every snapshot is a point of the curve."""

    class Sluggish:
        feedback = "value"

        def __init__(self, context: OptimizerContext) -> None:
            self.shape, self.asks = context.space.shape, 0

        def ask(self) -> Ask:
            return Ask(torch.zeros(1, *self.shape), np.array([self.asks]))

        def tell(self, ask: Ask, answer: Answer) -> None:
            self.asks += 1

        def recommend(self) -> Tensor:
            return torch.full(self.shape, 0.1 if self.asks > 5 else 0.0)

        def state_dict(self) -> dict[str, int]:
            return {"asks": self.asks}

    result = run(
        tmp_path,
        tiny_registry(optimizer=Sluggish),
        optimizer="mine",
        overrides=SIZES,
        snapshots=5,
    )
    assert [score.queries for score in result.scores] == [0, 400]
    assert result.ledger["score"]["forward"] == 160 + 3 * (160 + 120)  # with placebo and negative
    assert result.results is not None
    assert result.results.queries == (10, 30, 70, 160, 400)
    assert all(edit is not None for _, edit in result.results.points)
    erm, one, two, *moved = (edit.objective for _, edit in result.results.points)
    assert erm == one == two
    assert moved == [moved[0]] * 3
    assert moved[0] != erm


def test_the_stored_scores_give_the_printed_metrics(tmp_path: Path) -> None:
    result = run(tmp_path)
    raw = json.loads((result.run_dir / layout.SCORES).read_text())
    for score, edit in zip(result.scores, raw["edits"], strict=True):
        columns = {k: np.array(v) for k, v in raw["test"].items()}
        predictions = Predictions(np.array(edit["score"]), columns["label"], columns["sensitive"])
        for metric in result.metrics:
            estimate = score.metrics[metric.name]
            assert estimate.value == pytest.approx(abs(compute(metric, predictions)[0]))
            assert estimate.low <= estimate.value <= estimate.high
        assert score.recovery.low <= score.recovery.value <= score.recovery.high


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    runs = [run(tmp_path, seed=seed).run_dir for seed in (3, 3, 4)]
    traces = [(folder / layout.TRACE).read_bytes() for folder in runs]
    assert traces[0] == traces[1] != traces[2]
    edits = [np.load(folder / "edit.npy") for folder in runs]
    assert np.array_equal(edits[0], edits[1])


def test_parts_draw_from_independent_streams(tmp_path: Path) -> None:
    """An optimizer that draws more must not change the split, and so not ERM."""
    results = [
        run(tmp_path, overrides={**SIZES, "optimizer": {"samples": samples}}) for samples in (1, 5)
    ]
    assert results[0].scores[0].metrics == results[1].scores[0].metrics


def test_snapshots_are_log_spaced_and_end_at_the_budget() -> None:
    assert snapshot_schedule(10, 1000, 3) == [10, 100, 1000]
    assert snapshot_schedule(64, 12_800, 1) == [12_800]
    schedule = snapshot_schedule(64, 12_800, 7)
    assert schedule == sorted(schedule)
    assert schedule[-1] == 12_800


def test_a_budget_below_the_first_batch_says_what_it_costs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget is 30.*costs 40 queries"):
        run(tmp_path, budget=30)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_larger_than_the_training_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 200.* give --batch-size 120 or fewer"):
        run(tmp_path, batch_size=200, budget=4000)


def test_json_holds_what_it_promises(tmp_path: Path) -> None:
    found = json.loads(json.dumps(run(tmp_path).as_dict(), allow_nan=False))
    assert {
        "run_id",
        "run_dir",
        "status",
        "config",
        "ledger",
        "scores",
        "recovery",
        "fpq",
        "wall_seconds",
        "encoder_seconds",
    } <= set(found)
    assert set(found["ledger"]) == {"setup", "optimize", "score"}
    for score in found["scores"]:
        for name in ("eo_n", "eo_p", "di_gap", "di_gap_tpr", "accuracy"):
            assert set(score[name]) == {"value", "low", "high"}


def test_a_gradient_optimizer_is_refused_before_anything_on_a_black_box(tmp_path: Path) -> None:
    def black_box(request: object) -> TinyEncoder:
        encoder = TinyEncoder()
        encoder.spec = replace(encoder.spec, differentiable=False)
        return encoder

    with pytest.raises(ConfigError, match="needs gradients"):
        run(tmp_path, tiny_registry(encoder=black_box), optimizer="adam", overrides=SIZES)
    assert list(tmp_path.iterdir()) == []


def test_no_run_is_to_go_on_with_another_model(tmp_path: Path) -> None:
    class Changing(TinyEncoder):
        def embed(self, images: torch.Tensor) -> torch.Tensor:
            if any((tmp_path / "runs").glob("*/trace.jsonl")):
                raise ModelChanged("it is not what it was; start a new run")
            return super().embed(images)

    registry = tiny_registry(lambda request: Changing())
    with pytest.raises(ModelChanged, match=r"Everything so far is saved in \S+$") as caught:
        run(tmp_path / "runs", registry, optimizer="random", overrides=SIZES)
    assert "resume" not in str(caught.value)
    (folder,) = (tmp_path / "runs").iterdir()
    console = Console(file=io.StringIO(), width=100)
    print_result(StoredRun(folder, registry), as_json=False, console=console)
    print_runs(
        [summary_line(StoredRun(folder, registry))], registry, as_json=False, console=console
    )
    assert "zobench resume" not in console.file.getvalue()
    assert "start a new run" in console.file.getvalue()

    def load(request: object) -> TinyEncoder:
        raise AssertionError("the service was asked")

    with pytest.raises(ConfigError, match="is not the one that the run began with; start a new"):
        resume_run(folder, registry=tiny_registry(load))


def test_white_box_adam_pays_for_its_gradients(tmp_path: Path) -> None:
    result = run(tmp_path, optimizer="adam", overrides=SIZES, budget=400, backward_cost=3)
    counts = result.ledger["optimize"]
    assert counts["forward"] == counts["backward"] == 100
    assert counts["queries"] == 400


def test_a_recommendation_of_the_wrong_shape_is_the_plugins_fault(tmp_path: Path) -> None:
    from zobench_plugins.optimizers.gezo import Gezo, GezoParameters

    class Wrong(Gezo):
        def recommend(self) -> Tensor:
            return torch.zeros(3)

    def target(context: Any, parameters: GezoParameters) -> Wrong:
        return Wrong(context, parameters)

    target.__module__ = "zobench_plugins.optimizers.gezo"
    with pytest.raises(PluginError, match=r"'mine': recommend\(\) gave a point of shape \(3,\)"):
        run(tmp_path, tiny_registry(optimizer=target), optimizer="mine")


def test_asks_that_are_none_are_the_plugins_fault(tmp_path: Path) -> None:
    class Bare:
        feedback = "value"

        def __init__(self, context: OptimizerContext) -> None:
            self.shape = context.space.shape

        def ask(self) -> Tensor:
            return torch.zeros(1, *self.shape)

    with pytest.raises(PluginError, match=r"'mine': ask\(\) gave a Tensor; it must give zobench"):
        run(tmp_path, tiny_registry(optimizer=Bare), optimizer="mine", overrides=SIZES)


def test_no_file_of_a_run_is_a_pickle(tmp_path: Path) -> None:
    import pickle

    for path in run(tmp_path).run_dir.rglob("*"):
        if path.is_file():
            with pytest.raises(
                (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError)
            ):
                pickle.loads(path.read_bytes())


def test_a_path_may_be_given_as_a_path(tmp_path: Path) -> None:
    config = zobench.RunConfig(data_root=tmp_path)
    assert config.data_root == str(tmp_path)
    json.dumps(config.as_dict())


def test_a_dataset_of_another_shape_than_the_encoders_is_refused(tmp_path: Path) -> None:
    def wide(request: object) -> TinyEncoder:
        encoder = TinyEncoder()
        encoder.spec = replace(encoder.spec, image_shape=(1, 8, 16))
        return encoder

    with pytest.raises(PluginError, match="gives images of shape"):
        run(tmp_path, tiny_registry(encoder=wide))


def test_a_time_limit_ends_the_optimizer_after_a_whole_ask_and_what_there_is_is_scored(
    tmp_path: Path,
) -> None:
    short = run(tmp_path / "short", optimizer="random", overrides=SIZES, max_time=1e-6)
    whole = run(tmp_path / "whole", optimizer="random", overrides=SIZES)
    assert short.manifest.ended_by == "max_time"
    assert short.done
    assert len(short.trace) == 1
    assert short.trace == whole.trace[:1]
    assert short.ledger["optimize"]["queries"] == short.trace[-1]["queries"] == short.spent
    assert short.scores[-1].queries == short.spent
    assert whole.manifest.ended_by == "budget"
    long = run(tmp_path / "long", optimizer="random", overrides=SIZES, max_time=3600.0)
    assert long.trace == whole.trace
    with pytest.raises(ConfigError, match="give a larger --max-time, too"):
        resume_run(short.run_dir, registry=tiny_registry(), budget=500)
    longer = resume_run(short.run_dir, registry=tiny_registry(), max_time=3600.0)
    assert longer.manifest.ended_by == "budget"
    assert longer.trace == whole.trace
    assert longer.scores[-1] == whole.scores[-1]


def test_a_folder_of_films_that_a_generated_dataset_does_not_read_is_refused(
    tmp_path: Path,
) -> None:
    class Generated(TinyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.spec = replace(self.spec, generated=True)

    registry = tiny_registry(dataset=lambda request: Generated())
    words = "but the images of dataset tiny are generated and no folder is read"
    with pytest.raises(ConfigError, match=words):
        run(
            tmp_path / "runs",
            registry,
            data_root=str(tmp_path),
            optimizer="random",
            overrides=SIZES,
        )
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match=words):
        foresee(replace(config("random"), data_root=str(tmp_path)), registry)
