"""Verification passes a stored run that its config reproduces, and fails changed runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from forged import rewritten_trace, with_checksums
from tiny import SIZES, TinyEncoder, config, run, tiny_registry
from torch import Tensor

from zobench.contracts.listener import Silence
from zobench.errors import ConfigError, DamagedError, EncoderError
from zobench.files.json_files import Json, read_json, write_json
from zobench.files.row_files import read_rows
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.records import layout
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Offer, Registry
from zobench.runs.lifecycle import resume_run, start_run
from zobench.runs.refit import refit_heads
from zobench.runs.replay import replay_run
from zobench.runs.verify import Verification, verify_run


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))


def verified(folder: Path, registry: Registry | None = None, queries: int = 200) -> Verification:
    return verify_run(folder, queries, registry=registry or tiny_registry())


def test_a_run_is_verified_to_the_last_bit_and_left_alone(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs").run_dir
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    found = verified(folder)
    assert found.holds
    assert found.difference == 0
    assert 200 <= found.queries < 260
    assert found.snapshots >= 1
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before
    everything = verified(folder, queries=10**9)
    assert everything.holds
    assert everything.queries == 400


def test_a_changed_value_is_found_where_it_is(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs").run_dir

    def changed(rows: Sequence[Json]) -> Sequence[Json]:
        third = rows[2]["value_min"]
        return [*rows[:2], {**rows[2], "value_min": third + 0.01 * abs(third)}, *rows[3:]]

    rewritten_trace(folder, changed)
    found = verified(folder)
    assert not found.holds
    assert found.first == 3


def test_a_changed_snapshot_is_found(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs", optimizer="random", overrides=SIZES).run_dir
    queries = layout.snapshot_queries(folder)[1]
    path = folder / layout.SNAPSHOTS / f"{queries:012d}.safetensors"
    write_tensors(path, {"edit": StoredRun(folder).edit_after(queries) + 0.1})
    with_checksums(folder)
    assert not verified(folder).holds


def test_another_encoder_under_the_same_name_is_found(tmp_path: Path) -> None:
    class Other(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            return super().embed(images) * 1.01

    folder = run(tmp_path / "runs").run_dir
    found = verified(folder, tiny_registry(encoder=lambda request: Other()))
    assert not found.holds


def test_rounding_of_other_hardware_is_not_a_forgery(tmp_path: Path) -> None:
    class Rounding(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            return torch.nextafter(super().embed(images), torch.ones(()))

    folder = run(tmp_path / "runs").run_dir
    found = verified(folder, tiny_registry(encoder=lambda request: Rounding()))
    assert found.holds
    assert 0 < found.difference < 1e-4


def test_other_data_are_refused_and_an_empty_run_too(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs").run_dir
    manifest = read_json(folder / layout.MANIFEST)
    manifest["dataset"]["digest"] = "other films"
    write_json(folder / layout.MANIFEST, manifest)
    with pytest.raises(
        ConfigError,
        match=r"the dataset is not what it was .*; perhaps images found unreadable are left",
    ):
        verified(folder)
    (folder / layout.TRACE).unlink()
    with_checksums(folder)
    with pytest.raises(ConfigError, match="nothing to verify"):
        verified(folder)


def test_a_plugin_that_is_gone_is_named_with_the_distribution_that_brought_it(
    tmp_path: Path,
) -> None:
    without = tiny_registry()
    optimizers = without.offers["optimizers"]
    mine = Offer("mine", optimizers["random"].plugin, "zobench-mine")
    registry = Registry({**without.offers, "optimizers": {**optimizers, "mine": mine}})
    overrides = {**SIZES, "optimizer": {"check_images": 16}}
    for name, more in (("mine", SIZES), ("best-of:mine", overrides)):
        stored = start_run(config(name, more), tmp_path, registry=registry, record=True)
        place = stored.run_dir
        for use in (
            lambda place=place: verify_run(place, 400, registry=without),
            lambda place=place: replay_run(place, registry=without),
            lambda place=place: resume_run(place, budget=800, registry=without),
            lambda stored=stored: refit_heads(stored, Silence(), without, lambda images: True),
        ):
            with pytest.raises(
                ConfigError, match=r"'mine' is not known.* must be installed again: zobench-mine"
            ):
                use()
        assert StoredRun(place).done


def test_of_a_run_that_was_interrupted_what_is_there_is_verified(tmp_path: Path) -> None:
    calls = []

    class Stopping(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            return super().embed(images) / (0 if sum(calls) > 350 else 1)

    with pytest.raises(EncoderError):
        run(tmp_path / "runs", tiny_registry(encoder=lambda request: Stopping()))
    (folder,) = layout.run_folders(tmp_path / "runs")
    spent = read_rows(folder / layout.TRACE).rows[-1]["queries"]
    assert 0 < spent < 400
    calls.clear()

    class Counting(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            return super().embed(images)

    found = verified(folder, tiny_registry(encoder=lambda request: Counting()), queries=1280)
    assert found.holds
    assert found.queries == spent
    train = len(read_tensors(folder / layout.SETUP)[0]["clean"])
    assert sum(calls) <= train + spent + 100  # verification stops where the run stopped


def test_a_snapshot_that_is_missing_is_found(tmp_path: Path) -> None:
    folder = run(tmp_path / "runs", optimizer="random", overrides=SIZES).run_dir
    queries = layout.snapshot_queries(folder)[0]
    (folder / layout.SNAPSHOTS / f"{queries:012d}.safetensors").unlink()
    with pytest.raises(DamagedError, match=rf"{queries}\.safetensors is missing"):
        verified(folder)
    with_checksums(folder)
    assert not verified(folder).holds


UNTIL = {
    "optimizer": "adam",
    "budget": 1200,
    "snapshots": 8,
    "seed": 2,
    "tolerance": 20.0,
    "until": 0.01,
    "overrides": {**SIZES, "optimizer": {"lr": 0.05}},
}


@pytest.mark.parametrize(
    ("ended_by", "fields"),
    [
        ("max_time", {"optimizer": "random", "overrides": SIZES, "max_time": 1e-6}),
        ("until", UNTIL),
    ],
)
def test_a_replay_ends_where_the_run_ended(
    ended_by: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    done = run(tmp_path / "runs", **fields)
    assert done.manifest.ended_by == ended_by
    assert done.spent < done.config.budget
    calls = []

    class Counting(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            return super().embed(images)

    registry = tiny_registry(encoder=lambda request: Counting())
    found = verified(done.run_dir, registry, queries=10**9)
    assert found.holds
    assert found.difference == 0
    assert (found.queries, found.snapshots) == (done.spent, len(done.snapshots))
    assert sum(calls) <= done.manifest.split.train + done.spent
