"""Pre-training in miniature: it learns, resumes to the last bit, refuses foreign checkpoints."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from zobench_encoders.architecture import CompactViT, PlainViT
from zobench_encoders.pretraining import training
from zobench_encoders.pretraining.films import Bank, folder_bank
from zobench_encoders.pretraining.plain import PlainPretraining, learned_summary
from zobench_encoders.pretraining.recipe import Recipe
from zobench_encoders.pretraining.targets import normalised_patches, oriented_gradients
from zobench_encoders.pretraining.training import learning_rate, train
from zobench_encoders.vit_mae import bundled_trunk

from zobench.contracts.listener import Silence
from zobench.contracts.pretraining import PretrainingRequest
from zobench.errors import ConfigError, DamagedError, DatasetError, Interrupted

STAGES = {"masked_steps": 2, "described_steps": 4, "warmup": 1, "batch": 4}
SMALL = Recipe(**STAGES)


@pytest.fixture(scope="module")
def bank() -> Bank:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (240, 1, 224, 224)).astype(np.uint8)
    number = np.arange(240)
    labels = np.stack([number % 2, number // 2 % 4, number // 8 % 2, number % 10], axis=1)
    return Bank(pixels, labels)


class Stopped(Exception):
    """The error that stops the training in a test."""


def test_a_stopped_training_ends_in_the_same_weights(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    whole = train(SMALL, bank, bank, tmp_path / "whole", lambda *_: None)

    def stop(step: int, steps: int, losses: dict[str, float]) -> None:
        assert all(math.isfinite(value) for value in losses.values())
        if step == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train(SMALL, bank, bank, tmp_path / "cut", stop)
    steps: list[int] = []
    aligned: list[tuple[int, int]] = []
    cut = train(
        SMALL,
        bank,
        bank,
        tmp_path / "cut",
        lambda step, *_: steps.append(step),
        aligning=lambda done, total: aligned.append((done, total)),
    )
    assert steps == [5, 6]
    assert aligned[0] == (0, 2 * len(bank.pixels))
    assert aligned[-1] == (2 * len(bank.pixels), 2 * len(bank.pixels))
    one, two = load_file(whole), load_file(cut)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    CompactViT().load_state_dict(one)


def test_a_checkpoint_of_another_recipe_or_other_films_is_refused(
    tmp_path: Path, bank: Bank
) -> None:
    train(SMALL, bank, None, tmp_path, lambda *_: None)
    with pytest.raises(ConfigError, match="another recipe or other films"):
        train(Recipe(**STAGES, seed=1), bank, None, tmp_path, lambda *_: None)
    with pytest.raises(ConfigError, match="another recipe or other films"):
        train(SMALL, bank, bank, tmp_path, lambda *_: None)


def test_a_training_that_diverges_ends_before_its_checkpoint_is_lost(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    wild = Recipe(**STAGES, learning_rate=1e30)
    with pytest.raises(ConfigError, match=r"diverges: at step \d .*learning_rate is 1e\+30"):
        train(wild, bank, None, tmp_path / "out", lambda *_: None)
    kept = load_file(tmp_path / "out" / training.CHECKPOINT)
    assert all(torch.isfinite(values).all() for values in kept.values())
    with pytest.raises(ConfigError, match="diverges"):
        learned_summary(wild, bundled_trunk(), bank, None, lambda *_, **__: None)
    (tmp_path / "out" / training.CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(DamagedError, match="move it away, and the training begins anew"):
        train(wild, bank, None, tmp_path / "out", lambda *_: None)


def test_too_few_films_are_refused_before_the_training(tmp_path: Path, bank: Bank) -> None:
    few = Bank(bank.pixels[:90], bank.labels[:90])
    with pytest.raises(ConfigError, match="cannot be told from 90 films; give at least 224"):
        train(SMALL, few, None, tmp_path / "few", lambda *_: None)
    with pytest.raises(ConfigError, match="cannot be told from 90 films; give at least 97"):
        train(SMALL, bank, few, tmp_path / "few", lambda *_: None)
    women = bank.labels[:, 0] == 0
    both = Bank(np.tile(bank.pixels[women], (2, 1, 1, 1)), np.tile(bank.labels[women], (2, 1)))
    with pytest.raises(ConfigError, match="no labelled film shows sex 1 with finding 0"):
        train(SMALL, both, None, tmp_path / "few", lambda *_: None)


def test_the_learning_rate_warms_up_and_falls_to_zero_in_each_stage() -> None:
    recipe = Recipe(masked_steps=100, described_steps=50, warmup=10, learning_rate=1.0)
    rates = [learning_rate(recipe, step) for step in range(150)]
    assert rates[0] < 0.2 < 0.9 < rates[9]
    assert rates[99] < 0.01
    assert rates[100] < 0.2
    assert rates[149] < 0.01


def test_patches_are_normalised_and_in_reading_order() -> None:
    image = torch.zeros(1, 1, 224, 224)
    image[0, 0, :16, 16:32] = torch.arange(16.0).repeat(16, 1)
    patches = normalised_patches(image)
    assert tuple(patches.shape) == (1, 196, 256)
    assert patches[0, 0].abs().max() == 0
    assert patches[0, 1].mean().abs() < 1e-6
    assert patches[0, 1].std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("axis", "direction"), [(3, 0), (2, 4)])
def test_gradients_fall_into_the_bin_of_their_direction(axis: int, direction: int) -> None:
    """A ramp along x has its gradient at 0 degrees (bin 0), a ramp along y at 90 (bin 4 of 8)."""
    ramp = torch.linspace(0, 1, 224)
    image = (ramp.view(1, 1, 1, 224) if axis == 3 else ramp.view(1, 1, 224, 1)).expand(
        1, 1, 224, 224
    )
    energy = oriented_gradients(image).sum((2, 3))[0]
    assert int(energy.argmax()) == direction
    assert energy[direction] > 0.99 * energy.sum()


def test_a_folder_of_films_is_read_grey_and_its_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        folder_bank(tmp_path / "nowhere", 32)
    with pytest.raises(ConfigError, match="holds no"):
        folder_bank(tmp_path, 32)
    Image.new("RGB", (40, 50), (10, 10, 10)).save(tmp_path / "a.png")
    bank = folder_bank(tmp_path, 32)
    assert bank.pixels.shape == (1, 1, 32, 32)
    assert (bank.labels == -1).all()
    deep = Image.fromarray(np.linspace(0, 65_000, 400).reshape(20, 20).astype(np.uint16))
    clear = Image.new("LA", (20, 20), (9, 90))
    for image, words in ((deep, "more than 8 bits"), (clear, "transparent pixels")):
        image.save(tmp_path / "c.png")
        with pytest.raises(DatasetError, match=rf"c.png has {words}"):
            folder_bank(tmp_path, 32)
    Image.new("LA", (20, 20), (9, 255)).save(tmp_path / "c.png")
    assert (folder_bank(tmp_path, 32).pixels[1] == 9).all()
    (tmp_path / "c.png").unlink()
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(DatasetError, match=r"b.jpg is not a readable image"):
        folder_bank(tmp_path, 32)


def test_a_plain_layer_of_another_recipe_is_not_replaced(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "zobench_encoders.pretraining.plain.prepared_films", lambda *_: (bank, None)
    )
    request = PretrainingRequest(tmp_path / "out", None, lambda *_: pytest.fail("no dataset"))
    one, other = (Recipe(described_steps=1, warmup=1, batch=4, seed=seed) for seed in (0, 1))
    made = [PlainPretraining(request, one).run(Silence()).read_bytes() for _ in range(2)]
    assert made[0] == made[1]
    with pytest.raises(
        ConfigError, match=r"other settings or films \(recipe\); name another --out"
    ):
        PlainPretraining(request, other).run(Silence())
    (weights,) = (tmp_path / "out").iterdir()
    assert weights.read_bytes() == made[0]


def test_the_plain_layer_is_learned_while_the_trunk_stays_as_it_is(bank: Bank) -> None:
    trunk = bundled_trunk()
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    losses: list[float] = []

    def told(step: int, **found: float) -> None:
        losses.append(found["film"])

    one, two, longer = (
        learned_summary(Recipe(described_steps=steps, warmup=1, batch=4), trunk, bank, None, told)
        for steps in (2, 2, 3)
    )
    assert all(torch.equal(before[name], value) for name, value in trunk.state_dict().items())
    assert losses[:2] == losses[2:4]
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, longer.weight)
    plain = PlainViT(trunk)
    plain.summarise.load_state_dict(one.state_dict())
    with pytest.raises(Interrupted, match="stopped after step 1; nothing is kept"):
        learned_summary(SMALL, trunk, bank, None, told, stopped=lambda: True)
