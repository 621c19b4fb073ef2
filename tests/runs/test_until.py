"""A run that ends at a recovery: the scores, the ledger, and stops and crashes on the way."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SIZES, TinyEncoder, run, tiny_registry
from torch import Tensor

import zobench
from zobench.cli.options import recovery
from zobench.contracts.listener import Silence
from zobench.errors import ConfigError, EncoderError, Interrupted
from zobench.records import layout
from zobench.records.stored_run import StoredRun

TRAIN, TEST = 120, 160
"""Images of the split, which every scored edit sends."""


def settings(until: float, **more: Any) -> dict[str, Any]:
    """A run whose recovery rises late: 0.1, 0.2 and 0.3 at its last three snapshots."""
    sizes = {**SIZES, "optimizer": {"lr": 0.05}}
    fixed = {"optimizer": "adam", "budget": 1200, "snapshots": 8, "seed": 2, "tolerance": 20.0}
    return {**fixed, "until": until, "overrides": sizes, **more}


def recoveries(found: StoredRun) -> list[float]:
    return [float(each.recovery.value) for each in found.scores[1:]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run without a limit on its recovery, with every snapshot scored."""
    return run(tmp_path_factory.mktemp("whole"), **settings(0.0, scored=8))


@pytest.fixture(scope="module")
def target(whole: StoredRun) -> float:
    """The recovery of the last snapshot but one, which none before has."""
    *before, found, last = recoveries(whole)
    assert 0 < max(before) < found < last
    return found - 1e-6


def test_it_ends_at_the_first_snapshot_that_has_it(
    whole: StoredRun, target: float, tmp_path: Path
) -> None:
    found = run(tmp_path, **settings(target))
    assert found.manifest.ended_by == "until"
    assert found.config.scored == 8
    *before, last = recoveries(found)
    assert max(before, default=0.0) < target <= last
    assert found.trace == whole.trace[: len(found.trace)]
    assert found.spent == found.snapshots[-1] == found.scores[-1].queries
    assert recoveries(whole)[: len(before) + 1] == [*before, last]
    images = found.ledger["score"]["forward"]
    assert images == TEST + (len(before) + 1 + 2) * (TRAIN + TEST)  # two controls; none twice
    assert found.ledger["optimize"]["queries"] == found.trace[-1]["queries"]


def test_a_recovery_that_is_never_there_ends_with_the_budget(
    whole: StoredRun, tmp_path: Path
) -> None:
    found = run(tmp_path, **settings(1.0))
    assert found.manifest.ended_by == "budget"
    assert found.trace == whole.trace
    assert found.scores == whole.scores


class StopInScoring(Silence):
    """Sends SIGINT to this process at its n-th row of the optimizer."""

    def __init__(self, rows: int) -> None:
        self._left = rows

    def update(self, done: int, **figures: float) -> None:
        if "objective" in figures and "recovery" not in figures:
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stop_and_a_resume_change_nothing(target: float, tmp_path: Path, rows: int) -> None:
    undisturbed = run(tmp_path / "whole", **settings(target))
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", listener=StopInScoring(rows), **settings(target))
    (folder,) = (tmp_path / "cut").iterdir()
    same(zobench.resume(folder, registry=tiny_registry()), undisturbed)


def test_an_encoder_that_breaks_while_a_snapshot_is_scored_loses_nothing(
    target: float, tmp_path: Path
) -> None:
    class Failing(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            answer = super().embed(images)
            if not images.requires_grad and sum(self.calls) > 900:
                answer[-1] = torch.nan
            return answer

    undisturbed = run(tmp_path / "whole", **settings(target))
    with pytest.raises(EncoderError):
        run(tmp_path / "cut", tiny_registry(encoder=lambda request: Failing()), **settings(target))
    (folder,) = (tmp_path / "cut").iterdir()
    same(zobench.resume(folder, registry=tiny_registry()), undisturbed)


def same(found: StoredRun, wanted: StoredRun) -> None:
    assert found.manifest.ended_by == wanted.manifest.ended_by == "until"
    assert found.scores == wanted.scores
    assert found.as_dict()["controls"] == wanted.as_dict()["controls"]
    assert found.as_dict()["with_reweighing"] == wanted.as_dict()["with_reweighing"]
    assert (found.run_dir / layout.TRACE).read_bytes() == (
        wanted.run_dir / layout.TRACE
    ).read_bytes()
    assert found.ledger["optimize"] == wanted.ledger["optimize"]


def test_it_is_part_of_what_a_run_is(target: float, tmp_path: Path) -> None:
    from zobench.records.identity import identity

    with_it, without = (run(tmp_path / str(t), **settings(t, scored=8)) for t in (target, 0.0))
    assert identity(with_it.manifest) != identity(without.manifest)


@pytest.mark.parametrize("text", ["0.5", "recovery=0", "recovery=2", "fpq=0.5", "recovery=x"])
def test_another_form_is_refused(text: str) -> None:
    assert recovery("recovery=0.5") == 0.5
    with pytest.raises(ConfigError, match="must be recovery=X"):
        recovery(text)
