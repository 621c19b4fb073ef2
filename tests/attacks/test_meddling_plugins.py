"""Plugins that change what they are given, or give what the contracts do not allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SIZES, TinyDataset, TinyEncoder, run, tiny_registry
from torch import Tensor
from zobench_plugins.objectives.dne import Dne

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.metric import GroupCounts, Metric, Predictions
from zobench.errors import PluginError
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.testing.metrics import example


def with_objective(objective: Any) -> Registry:
    registry = tiny_registry()
    offers: dict[Any, Mapping[str, Offer]] = dict(registry.offers)
    mine = Offer("mine", Plugin(objective, "test"), "tests")
    offers["objectives"] = {**offers["objectives"], "mine": mine}
    return Registry(offers)


class Meddling(Dne):
    """The paper's objective, which overwrites its arguments afterwards."""

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        values = super().values(embeddings, sensitive, label)
        if not embeddings.requires_grad:  # else it would spoil its own gradient
            for argument in (embeddings, sensitive, label):
                argument.zero_()
        return values


@pytest.mark.parametrize("optimizer", ["random", "scattered-probes"])
def test_an_objective_cannot_change_embeddings_or_labels(tmp_path: Path, optimizer: str) -> None:
    honest = run(tmp_path / "a", optimizer=optimizer, overrides=SIZES)
    meddled = run(
        tmp_path / "b",
        with_objective(Meddling),
        optimizer=optimizer,
        objective="mine",
        overrides=SIZES,
    )
    assert meddled.scores == honest.scores
    assert np.array_equal(meddled.edit, honest.edit)


class Bounded(Dne):
    """The paper's objective, which cannot take more than 50 images of a point."""

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        values = super().values(embeddings, sensitive, label)
        return values * float("nan") if embeddings.shape[1] > 50 else values


def test_an_objective_without_a_value_for_the_test_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match=r"objective 'mine': values\(\) must give a finite float64"
    ):
        run(
            tmp_path, with_objective(Bounded), optimizer="random", objective="mine", overrides=SIZES
        )


class Detached(Dne):
    """The paper's objective, which gives no gradient."""

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        return super().values(embeddings, sensitive, label).detach()


def test_an_objective_without_a_gradient_is_named_where_one_is_wanted(tmp_path: Path) -> None:
    mine = with_objective(Detached)
    run(tmp_path / "a", mine, optimizer="random", objective="mine", overrides=SIZES)
    with pytest.raises(PluginError, match=r"objective 'mine': values\(\) must be differentiable"):
        run(tmp_path / "b", mine, optimizer="pgd", objective="mine", overrides=SIZES)


def test_a_metric_cannot_change_what_other_metrics_see() -> None:
    predictions, weights = example()

    def in_place(counts: GroupCounts) -> Any:
        rate = counts.rate
        rate *= 100.0
        return rate[:, 1, 1] - rate[:, 1, 0]

    counts = GroupCounts(np.ones((3, 2, 2)), np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        Metric("mine", "mine", "test", from_counts=in_place).of_counts(counts)
    arrays = (counts.images, counts.called, counts.share, predictions.score, predictions.label)
    assert not any(array.flags.writeable for array in (*arrays, predictions.sensitive, weights))
    own = np.ones(3)
    Predictions(own, own.astype(np.int64), own.astype(np.int64))
    assert own.flags.writeable  # the caller's array stays as it was


class Reusing(TinyEncoder):
    """Answers in the same memory each time."""

    memory: Tensor | None = None

    def embed(self, images: Tensor) -> Tensor:
        answer = super().embed(images)
        if self.memory is None or len(self.memory) != len(answer):
            self.memory = torch.empty_like(answer)
        return self.memory.copy_(answer)


def test_an_encoder_may_use_its_memory_again(tmp_path: Path) -> None:
    found, honest = (
        run(tmp_path / kind.__name__, tiny_registry(encoder=lambda _, kind=kind: kind(block=20)))
        for kind in (Reusing, TinyEncoder)
    )
    assert found.trace == honest.trace
    assert found.scores == honest.scores


class Floats(TinyDataset):
    """Pixels in [0, 1]."""

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        return (super().pixels(rows, progress) / 255.0).astype(np.float32)  # type: ignore[return-value]


class Few(TinyDataset):
    """An image too few."""

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        return super().pixels(rows, progress)[1:]


def labelled(column: str, value: int) -> Callable[[object], TinyDataset]:
    def make(request: object) -> TinyDataset:
        dataset = TinyDataset()
        values = getattr(dataset.records, column).copy()
        values[7] = value
        dataset.records = replace(dataset.records, **{column: values})
        return dataset

    return make


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (labelled("sensitive", 2), "gives 2 as a sensitive, but must give 0 or 1"),
        (labelled("label", -1), "gives -1 as a label, but must give 0 or 1"),
        (
            lambda request: Floats(),
            r"of type float32, but must give \(280, 1, 8, 8\) of type uint8",
        ),
        (
            lambda request: Few(),
            r"gives pixels \(279, 1, 8, 8\) of type uint8, but must give \(280,",
        ),
    ],
)
def test_a_dataset_that_breaks_its_contract_is_named(
    tmp_path: Path, dataset: Callable[[object], TinyDataset], words: str
) -> None:
    with pytest.raises(PluginError, match=words):
        run(tmp_path, tiny_registry(dataset=dataset))


def test_the_requests_of_a_run_do_not_depend_on_the_blocks_of_another(tmp_path: Path) -> None:
    """An encoder in blocks of 8 sends as many requests beside one in blocks of 50 as alone."""

    def of(block: int) -> int:
        class Same(TinyEncoder):
            def __init__(self) -> None:
                super().__init__(block)
                self.spec = EncoderSpec("tiny", (1, 8, 8), 6, True, True, "tiny", block)

        found = run(tmp_path / str(block), tiny_registry(encoder=lambda request: Same()))
        return int(found.ledger["score"]["requests"])

    small, large, again = of(8), of(50), of(8)
    assert small == again > large
