from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from zobench.errors import StoreError
from zobench.files.atomic import DRAFT
from zobench.files.json_files import read_rows, write_json
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.records.checkpoint import Checkpoint
from zobench.records.layout import (
    CHECKPOINT,
    MANIFEST,
    SCHEMA,
    SCORES,
    SETUP,
    SNAPSHOTS,
    TRACE,
    snapshot_queries,
)
from zobench.records.manifest import read_manifest
from zobench.records.run_folder import RunFolder


def state(asks: int) -> Checkpoint:
    optimizer = {"edit": torch.full((2,), float(asks)), "step": 0.1 + 0.2, "rng": "{}"}
    return Checkpoint(asks, optimizer, {"queries": 10 * asks}, 1.5, 2.5)


def test_rows_and_state_come_back_exactly(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for ask in (1, 2):
        folder.append({"ask": ask, "value": 0.1 * ask}, {"seconds": 0.5})
    folder.checkpoint(state(2))
    assert [row["value"] for row in read_rows(folder.path / TRACE)] == [0.1, 0.2]
    found = folder.restore()
    assert found is not None
    assert found.optimizer["step"] == 0.1 + 0.2
    assert torch.equal(found.optimizer["edit"], torch.full((2,), 2.0))


def test_rows_and_snapshots_after_the_checkpoint_are_cut_on_restoring(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.append({"ask": 1}, {})
    folder.write_snapshot(10, torch.zeros(1, 2, 2))
    folder.checkpoint(state(1))
    folder.write_snapshot(20, torch.zeros(1, 2, 2))
    draft = folder.path / SNAPSHOTS / f"000000000030.safetensors.17-a{DRAFT}"
    draft.write_bytes(b"a writer was killed here")
    with (folder.path / TRACE).open("ab") as file:
        file.write(b'{"ask": 2}\n{"as')
    assert len(read_rows(folder.path / TRACE)) == 2
    folder.restore()
    assert (folder.path / TRACE).read_bytes() == b'{"ask": 1}\n'
    assert not draft.exists()
    assert snapshot_queries(folder.path) == [10]


def test_without_a_checkpoint_everything_begins_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / TRACE).write_bytes(b'{"ask": 1}\n')
    folder.write_snapshot(10, torch.zeros(1, 2, 2))
    assert folder.restore() is None
    assert read_rows(folder.path / TRACE) == []
    assert snapshot_queries(folder.path) == []


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "run")
    with pytest.raises(StoreError, match="another process is writing"):
        RunFolder(tmp_path / "run")
    first.close()
    RunFolder(tmp_path / "run").close()


def test_a_newer_schema_is_not_guessed_at(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema": SCHEMA + 1})
    with pytest.raises(StoreError, match=r"newer zobench .*upgrade"):
        read_manifest(tmp_path)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run folder"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(StoreError, match="no schema version"):
        read_manifest(tmp_path)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
    (tmp_path / "folder.json" / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"folder\.json cannot be read or written"):
        write_json(tmp_path / "folder.json", {"a": 2})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.json", "value.json"]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoint(state(0))
    (folder.path / CHECKPOINT).write_bytes(b"\x00" * 20)
    with pytest.raises(StoreError, match=r"state\.safetensors is damaged"):
        folder.restore()


def test_snapshots_come_back_in_order_of_queries(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for queries in (1000, 9, 200):
        folder.write_snapshot(queries, torch.full((1, 2, 2), float(queries)))
    assert snapshot_queries(folder.path) == [9, 200, 1000]
    assert folder.edit(200).unique().tolist() == [200.0]


def test_one_tensor_under_two_names_is_stored_twice(tmp_path: Path) -> None:
    tensor = torch.arange(3)
    write_tensors(tmp_path / "x.safetensors", {"edit": tensor, "best": tensor}, {"k": [1]})
    tensors, notes = read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(tensors["edit"], tensors["best"])
    assert notes == {"k": [1]}


def test_a_damaged_line_and_a_stranger_s_manifest_are_named(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text('{"ask": 1}\n{"ask"\n{"ask": 3}\n')
    with pytest.raises(StoreError, match=r"trace\.jsonl is damaged"):
        read_rows(tmp_path / "trace.jsonl")
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(StoreError, match="no schema version"):
        read_manifest(tmp_path)


def test_scores_without_a_checkpoint_are_not_thrown_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_snapshot(10, torch.zeros(1, 2, 2))
    write_json(folder.path / SCORES, {})
    with pytest.raises(StoreError, match="has scores but no checkpoint"):
        folder.restore()
    assert folder.snapshots() == [10]


def test_damaged_content_is_named_and_strange_files_are_no_snapshots(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / SNAPSHOTS / "copy of one.safetensors").write_bytes(b"")
    assert folder.snapshots() == []
    write_json(folder.path / SCORES, {"edits": []})
    with pytest.raises(StoreError, match=r"scores\.json is damaged: it has no 'test'"):
        folder.scores()
    write_tensors(folder.path / SETUP, {"other": torch.zeros(1)})
    with pytest.raises(StoreError, match=r"setup\.safetensors is damaged: it has no 'clean'"):
        folder.setup()


def test_a_lost_trace_is_told_and_not_continued(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.append({"ask": 1}, {})
    folder.checkpoint(state(1))
    (folder.path / TRACE).unlink()
    with pytest.raises(StoreError, match=r"trace\.jsonl has fewer rows than its checkpoint \(1\)"):
        folder.restore()
