"""A recorded run is replayed without its encoder; an ask without a record is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from commands import run_command
from tiny import SIZES, TinyEncoder, config, tiny_registry
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext
from zobench.contracts.stateful import Stateful
from zobench.errors import ConfigError, EncoderError
from zobench.files.json_files import read_json, write_json
from zobench.files.row_files import read_rows
from zobench.records import layout
from zobench.records.layout import ANSWERS
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry
from zobench.runs.lifecycle import resume_run, start_run
from zobench.runs.recorder import answer_file
from zobench.runs.replay import replay_run


def recorded(tmp_path: Path, optimizer: str, encoder: Any = None, **settings: Any) -> StoredRun:
    wanted = config(optimizer, {**SIZES, "optimizer": settings})
    registry = tiny_registry(encoder=encoder)
    return start_run(wanted, tmp_path / "runs", registry=registry, record=True)


def without_encoder() -> Registry:
    offers = dict(tiny_registry().offers)
    offers["encoders"] = {}
    return Registry(offers)


@pytest.mark.parametrize(
    "optimizer",
    ["gezo", "adam", "kalman", "nevergrad:OnePlusOne", "scattered-probes", "probes-signum"],
)
def test_every_kind_of_answer_comes_back(tmp_path: Path, optimizer: str) -> None:
    settings = {"samples": 2} if optimizer == "gezo" else {}
    run = recorded(tmp_path, optimizer, **settings)
    found = replay_run(run.run_dir, registry=without_encoder())
    assert found.same_edit
    assert found.queries == run.ledger["optimize"]["queries"]
    assert found.asks == len(read_rows(run.run_dir / layout.TRACE).rows)


def test_asks_that_differ_in_their_cotangents_alone_are_two() -> None:
    asked = Ask(torch.zeros(1, 1, 2, 2), np.zeros(1, dtype=np.int64), "gradient")
    one, other = (replace(asked, cotangents=torch.full((1, 3, 2), x)) for x in (1.0, 2.0))
    names = {answer_file(each, spent=0) for each in (asked, one, other)}
    assert len(names) == 3


def test_what_was_not_recorded_is_refused_with_its_number(tmp_path: Path) -> None:
    run = recorded(tmp_path, "random")
    manifest = read_json(run.run_dir / layout.MANIFEST)
    manifest["config"]["overrides"]["optimizer"] = {"step": 0.02}
    write_json(run.run_dir / layout.MANIFEST, manifest)
    with pytest.raises(ConfigError, match="ask 1 was not recorded"):
        replay_run(run.run_dir)


def test_a_run_without_a_record_says_how_to_make_one(tmp_path: Path) -> None:
    run = recorded(tmp_path, "random")
    for each in (run.run_dir / ANSWERS).iterdir():
        each.unlink()
    (run.run_dir / ANSWERS).rmdir()
    done = run_command("replay", str(run.run_dir))
    assert done.returncode == 2
    assert "--record" in done.stderr


class Repeating(Stateful):
    """Asks the same twice and goes along the difference of the answers."""

    feedback: ClassVar[Feedback] = "value"
    remembered = ("values",)

    def __init__(self, context: OptimizerContext) -> None:
        self._shape = context.space.shape
        self.values = torch.empty(0, dtype=torch.float64)

    def ask(self) -> Ask:
        return Ask(torch.full((1, *self._shape), 0.01), np.zeros(1, np.int64))

    def tell(self, ask: Ask, answer: Answer) -> None:
        self.values = torch.cat([self.values, answer.values])

    def recommend(self) -> Tensor:
        return torch.full(self._shape, float(self.values.diff().sum()))


def test_an_ask_that_an_objective_answers_anew_is_kept_each_time(tmp_path: Path) -> None:
    registry = tiny_registry(optimizer=Repeating)
    learning = {**SIZES, "objective": {"every": 1}}
    wanted = replace(config("mine", learning), objective="adversary")
    run = start_run(wanted, tmp_path / "runs", registry=registry, record=True)
    assert run.edit_after(run.snapshots[-1]).any()
    assert replay_run(run.run_dir, registry=registry).same_edit


def test_a_resumed_run_goes_on_recording(tmp_path: Path) -> None:
    class Failing(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            answer = super().embed(images)
            return answer / 0 if sum(self.calls) > 400 else answer

    with pytest.raises(EncoderError):
        recorded(tmp_path, "random", encoder=lambda request: Failing())
    (folder,) = (tmp_path / "runs").iterdir()
    resume_run(folder, registry=tiny_registry())
    done = run_command("replay", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"asks": 8, "queries": 400, "same_edit": True}
