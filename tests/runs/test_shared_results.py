"""Shared results of runs are computed once, and never reused for a run they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TinyEncoder, run, tiny_registry
from torch import Tensor

from zobench.files.json_files import read_json
from zobench.records import layout
from zobench.records.stored_run import StoredRun
from zobench.runs.result_cache import ResultCache, digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shared"


def counted(tmp_path: Path, **fields: object) -> tuple[StoredRun, int]:
    """A run and the number of images that its encoder embedded."""
    made: list[TinyEncoder] = []

    def make(request: object) -> TinyEncoder:
        made.append(TinyEncoder())
        return made[-1]

    result = run(tmp_path, tiny_registry(encoder=make), **fields)
    return result, sum(made[-1].calls)


def same(one: StoredRun, other: StoredRun) -> bool:
    scores = [
        read_json(each.run_dir / layout.SCORES) | {"encoder_seconds": 0} for each in (one, other)
    ]
    return scores[0] == scores[1] and one.ledger == other.ledger


def test_a_second_optimizer_embeds_neither_clean_images_nor_erm(tmp_path: Path) -> None:
    first, images = counted(tmp_path)
    assert first.manifest.reused == []
    assert images == sum(counts["forward"] for counts in first.ledger.values())
    again, fewer = counted(tmp_path)
    assert again.manifest.reused == ["clean embeddings", "SA head", "clean test embeddings"]
    assert images - fewer == 120 - 50 + 160  # clean images but one block; test images
    assert same(first, again)


@pytest.mark.parametrize("change", [{"seed": 1}, {"heads": "paper"}])
def test_another_seed_or_protocol_shares_no_score(
    tmp_path: Path, change: dict[str, object]
) -> None:
    first, _ = counted(tmp_path)
    other, _ = counted(tmp_path, **change)
    assert "SA head" not in other.manifest.reused
    assert other.scores[0].metrics != first.scores[0].metrics
    assert "SA head" not in other.manifest.reused


def test_an_encoder_that_changed_and_did_not_say_so_is_found_out(tmp_path: Path) -> None:
    class Changed(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            return torch.nextafter(super().embed(images), torch.ones(()))

    counted(tmp_path)
    changed = run(tmp_path, tiny_registry(encoder=lambda request: Changed()))
    assert changed.manifest.reused == []


def test_damaged_files_are_computed_again(tmp_path: Path, cache: Path) -> None:
    first, images = counted(tmp_path)
    files = [each for each in cache.rglob("*") if each.is_file()]
    assert len(files) == 3
    for each in files:
        each.write_bytes(each.read_bytes()[:-3])
    again, as_many = counted(tmp_path)
    assert as_many == images
    assert same(first, again)
    third, _ = counted(tmp_path)
    assert len(third.manifest.reused) == 3


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where a folder should be")
    result, _ = counted(tmp_path)
    assert result.status == "done"


def test_digests_tell_apart_what_looks_alike(tmp_path: Path) -> None:
    array = torch.arange(4).numpy()
    digests = {
        digest("a", "b"),
        digest("ab"),
        digest("a", "b", 0),
        digest("a", "b", 0.5),
        digest(array),
        digest(array.reshape(2, 2)),
        digest(array.astype("float64")),
        digest({"a": 1}),
    }
    assert len(digests) == 8
    assert ResultCache(tmp_path / "nothing").read(digest("a")) is None


def test_a_cache_that_cannot_even_be_looked_at_is_done_without(tmp_path: Path) -> None:
    assert ResultCache(tmp_path / ("x" * 300)).read(digest("a")) is None  # the name is too long
