from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from zobench.errors import DamagedError, StoreError
from zobench.files.atomic import DRAFT
from zobench.files.json_files import read_json, write_json
from zobench.files.row_files import RowWriter, keep_rows, read_rows
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
    snapshot_name,
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
    assert [row["value"] for row in read_rows(folder.path / TRACE).rows] == [0.1, 0.2]
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
    covered = (folder.path / TRACE).read_bytes()
    RowWriter(folder.path / TRACE, read_rows(folder.path / TRACE)).append(
        [{"ask": 2}], durable=True
    )
    with (folder.path / TRACE).open("ab") as file:
        file.write(b'{"as')
    assert len(read_rows(folder.path / TRACE).rows) == 2
    folder.restore()
    assert (folder.path / TRACE).read_bytes() == covered
    assert not draft.exists()
    assert snapshot_queries(folder.path) == [10]


def test_a_snapshot_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for number in (1, 2):
        folder.append({"ask": number}, {})
        folder.write_snapshot(10 * number, torch.full((1, 2, 2), float(number)))
    folder.checkpoint(state(2))
    one, two = (folder.path / snapshot_name(queries) for queries in (10, 20))
    one.write_bytes(two.read_bytes())
    with pytest.raises(DamagedError, match="it is another snapshot than the one that was stored"):
        folder.restore()


def test_without_a_checkpoint_everything_begins_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    RowWriter(folder.path / TRACE).append([{"ask": 1}], durable=True)
    folder.write_snapshot(10, torch.zeros(1, 2, 2))
    assert folder.restore() is None
    assert read_rows(folder.path / TRACE).rows == []
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
    (tmp_path / MANIFEST).write_text('{"schema": 2}')  # had no checksum
    with pytest.raises(StoreError, match=r"older zobench .*run it anew"):
        read_manifest(tmp_path)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run folder"):
        read_manifest(tmp_path)
    for text in ("", "{", "{}", "[" * 100_000):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(DamagedError, match=r"manifest\.json is damaged: .* checksum"):
            read_manifest(tmp_path)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    for each in (False, True):
        with pytest.raises(ValueError, match="Out of range float"):
            write_json(path, {"a": float("nan")}, one_line_each=each)
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
    (tmp_path / "folder.json" / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"folder\.json cannot be read or written"):
        write_json(tmp_path / "folder.json", {"a": 2})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.json", "value.json"]
    with pytest.raises(StoreError, match="stored before is safe; a file or folder of another kind"):
        write_json(path / "inside.json", {"a": 2})
    with pytest.raises(StoreError, match="stored before is safe; choose a shorter name"):
        write_json(tmp_path / ("a" * 300), {"a": 2})


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


READERS: Mapping[str, Callable[[Path], object]] = {
    "values.json": read_json,
    "members.json": read_json,
    "values.safetensors": lambda path: str(read_tensors(path)),
    "values.jsonl": lambda path: keep_rows(path, len(ROWS), END_OF_ROWS).rows,
}
ROWS = [{"ask": ask, "value": ask / 3} for ask in range(3)]
END_OF_ROWS = "0c36c002a055cc73"  # of hashlib.blake2b, row by row


def write_values(path: Path) -> None:
    if path.suffix == ".json":
        values = {"queries": 128, "values": [0.1, -2e-7], "name": "a"}
        write_json(path, values, one_line_each=path.stem == "members")
    elif path.suffix == ".jsonl":
        RowWriter(path).append(ROWS, durable=False)
    else:
        write_tensors(path, {"edit": torch.arange(6.0).reshape(2, 3)}, {"asks": 2})


@pytest.mark.parametrize("name", READERS)
def test_each_single_flipped_bit_and_each_lost_end_is_noticed(tmp_path: Path, name: str) -> None:
    path, read = tmp_path / name, READERS[name]
    write_values(path)
    whole, value = path.read_bytes(), read(path)
    damaged_contents = [whole[:length] for length in range(len(whole))]
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        damaged_contents.append(bytes(content))
    for content in damaged_contents:
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="is damaged"):
            read(path)
    path.write_bytes(whole)
    assert read(path) == value


@pytest.mark.parametrize("value", [{}, {"a": [1.5, {"b": None}]}, {'a"\n': 0.1 + 0.2, "z": "é\n"}])
def test_a_member_a_line_holds_the_same_values(tmp_path: Path, value: dict[str, Any]) -> None:
    for path, each in ((tmp_path / "a.json", True), (tmp_path / "b.json", False)):
        write_json(path, value, one_line_each=each)
        assert read_json(path) == value
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert len(lines) == 1 + max(1, len(value)) + 2  # braces, the members, the checksum


def test_a_row_that_is_lost_or_moved_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    write_values(path)
    one, two, three = path.read_bytes().splitlines(keepends=True)
    for rows in ([one, three], [two, one, three], [one, one, two, three]):
        path.write_bytes(b"".join(rows))
        with pytest.raises(
            DamagedError, match=r"row \d does not match its checksum, or a row is lost"
        ):
            read_rows(path)


@pytest.mark.parametrize("name", [TRACE, SETUP, "snapshots", "checkpoint"])
def test_planted_links_are_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = RunFolder(tmp_path / "run")
    folder.close()
    place, target = folder.path / name, elsewhere / name
    if "." in name:
        target.write_bytes(b"precious")
    else:
        target.mkdir()
    if place.exists():
        place.rmdir()
    place.symlink_to(target)

    def use() -> None:
        again = RunFolder(folder.path)
        again.setup()
        again.append({"ask": 1}, {})
        again.checkpoint(state(1))

    with pytest.raises(StoreError, match=f"{name} is a link; zobench follows no links"):
        use()
    assert target.is_dir() or target.read_bytes() == b"precious"
    assert list(elsewhere.iterdir()) == [target]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "values.json")
    with pytest.raises(StoreError, match="is no regular file"):
        read_json(tmp_path / "values.json")


def test_scores_without_a_checkpoint_are_not_thrown_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_snapshot(10, torch.zeros(1, 2, 2))
    write_json(folder.path / SCORES, {})
    with pytest.raises(
        DamagedError, match=r"state\.safetensors is missing, although it was stored"
    ):
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
    with pytest.raises(DamagedError, match=r"trace\.jsonl is missing, although it was stored"):
        folder.restore()
