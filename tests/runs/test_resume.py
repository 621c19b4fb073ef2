"""Runs that fail, stop or crash lose nothing; resumed runs equal undisturbed runs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import StopAfter, TinyDataset, TinyEncoder, run, tiny_registry
from torch import Tensor

import zobench
from zobench.billing.bill import BILL
from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, EncoderError, Interrupted, RunFailure
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.files.row_files import read_rows
from zobench.records import layout
from zobench.records.inventory import take_inventory
from zobench.records.manifest import Manifest, read_manifest
from zobench.records.run_folder import RunFolder
from zobench.runs import lifecycle
from zobench.runs.resuming import with_overrides


class Failing(TinyEncoder):
    """An encoder that answers NaN after 300 images."""

    after = 300

    def embed(self, images: Tensor) -> Tensor:
        answer = super().embed(images)
        if sum(self.calls) > self.after:
            answer[-1] = torch.nan
        return answer


def test_an_encoder_that_breaks_midway_loses_nothing_and_the_run_goes_on(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(EncoderError, match="NaN"):
        run(tmp_path / "broken", tiny_registry(encoder=lambda request: Failing()))
    (folder,) = (tmp_path / "broken").iterdir()
    partial = zobench.show(folder)
    assert partial.status == "failed"
    assert 0 < partial.ledger["optimize"]["queries"] < 400
    assert (
        len(read_rows(folder / layout.TRACE).rows) == partial.ledger["optimize"]["evaluations"] / 4
    )
    assert "NaN" in str(read_manifest(folder).error)
    result = zobench.resume(folder, registry=tiny_registry())
    assert result.status == "done"
    for name in (layout.TRACE, "edit.npy"):
        assert (folder / name).read_bytes() == (whole.run_dir / name).read_bytes()
    assert result.scores == whole.scores


@pytest.mark.parametrize("queries", [40, 200])
def test_ctrl_c_saves_and_resume_gives_the_same_bytes(tmp_path: Path, queries: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted, match="zobench resume"):
        run(tmp_path / "cut", listener=StopAfter(queries))
    (folder,) = (tmp_path / "cut").iterdir()
    partial = zobench.show(folder)
    assert partial.status == "interrupted"
    assert partial.ledger["optimize"]["queries"] == queries
    result = zobench.resume(folder, registry=tiny_registry())
    for name in (layout.TRACE, "edit.npy"):
        assert (folder / name).read_bytes() == (whole.run_dir / name).read_bytes()
    assert result.scores == whole.scores
    assert result.fpq == whole.fpq
    assert result.ledger == whole.ledger


def test_resuming_on_another_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, listener=StopAfter(40))
    (folder,) = tmp_path.iterdir()

    def changed(request: object) -> TinyEncoder:
        encoder = TinyEncoder()
        encoder.spec = replace(encoder.spec, digest="other")
        return encoder

    with pytest.raises(ConfigError, match="the encoder is not what it was"):
        zobench.resume(folder, registry=tiny_registry(encoder=changed))


def test_other_settings_are_for_services_that_go_on(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, listener=StopAfter(40))
    (folder,) = tmp_path.iterdir()
    registry, chunk = tiny_registry(), {"encoder": {"chunk": 8}}
    manifest = read_manifest(folder)
    local = replace(manifest.encoder, name="vit-mae", settings={"chunk": 16, "path": "fused"})
    on_vit_mae = manifest.changed(config=manifest.config.changed(encoder="vit-mae"), encoder=local)
    kept = r"encoder\.chunk can change results, so a run keeps .* other values of weights"
    with pytest.raises(ConfigError, match=kept):
        with_overrides(on_vit_mae, chunk, registry)
    with pytest.raises(ConfigError, match="has no parameter 'chunk'"):
        zobench.resume(folder, registry=registry, overrides=chunk)
    with pytest.raises(ConfigError, match="settings of its encoder only, not of 'split'"):
        zobench.resume(folder, registry=registry, overrides={"split": {"train": 8}})
    assert zobench.resume(folder, registry=registry).status == "done"
    with pytest.raises(ConfigError, match=r"is finished, so other settings .* change nothing"):
        zobench.resume(folder, registry=registry, overrides=chunk)


def test_resuming_a_finished_run_only_reads_it(tmp_path: Path) -> None:
    result = run(tmp_path)
    again = zobench.resume(result.run_dir, registry=tiny_registry())
    assert again.as_dict() == result.as_dict()
    assert again.manifest.resumed == 0
    with closing(RunFolder(result.run_dir)):  # whoever only reads takes no lock and writes nothing
        held = zobench.resume(result.run_dir, registry=tiny_registry())
    assert held.as_dict() == result.as_dict()


def test_a_run_that_ends_while_another_process_waits_to_resume_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is read again under the lock: the first reading may be stale."""
    result = run(tmp_path)
    before = {path: path.read_bytes() for path in result.run_dir.rglob("*") if path.is_file()}
    real, calls = read_manifest, []

    def stale(folder: Path) -> Manifest:
        calls.append(folder)
        return real(folder).changed(status=RunStatus.RUNNING)

    monkeypatch.setattr(lifecycle, "read_manifest", stale)  # the first reading is stale
    assert zobench.resume(result.run_dir, registry=tiny_registry()).status == "done"
    assert len(calls) == 1
    assert {p: p.read_bytes() for p in result.run_dir.rglob("*") if p.is_file()} == before


def test_resuming_with_other_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, listener=StopAfter(40))
    (folder,) = tmp_path.iterdir()
    manifest = read_json(folder / layout.MANIFEST)
    manifest["config"]["overrides"]["optimizer"]["step"] = "0.5"
    write_json(folder / layout.MANIFEST, manifest)
    with pytest.raises(ConfigError, match="the set of parameters is not what it was"):
        zobench.resume(folder, registry=tiny_registry())


def test_a_plugin_that_crashes_leaves_a_folder_that_says_so(tmp_path: Path) -> None:
    class Crashing(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            raise KeyError("oops")

    with pytest.raises(RunFailure, match=r"KeyError: 'oops', raised by .*Crashing\.embed"):
        run(tmp_path, tiny_registry(encoder=lambda request: Crashing()))
    (folder,) = tmp_path.iterdir()
    assert read_manifest(folder).status is RunStatus.FAILED
    assert "KeyError" in str(read_manifest(folder).error)


def test_other_pixels_in_files_of_equal_size_are_refused(tmp_path: Path) -> None:
    class Repainted(TinyDataset):
        def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
            return 255 - super().pixels(rows, progress)

    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", listener=StopAfter(40))
    (folder,) = (tmp_path / "cut").iterdir()
    with pytest.raises(ConfigError, match="pixels of the images are not what they were"):
        zobench.resume(folder, registry=tiny_registry(dataset=lambda request: Repainted()))
    assert zobench.resume(folder, registry=tiny_registry()).scores == whole.scores
    with pytest.raises(ConfigError, match="pixels of the images are not what they were"):
        zobench.resume(
            whole.run_dir, budget=800, registry=tiny_registry(dataset=lambda request: Repainted())
        )
    assert read_manifest(whole.run_dir).status is RunStatus.DONE  # the result is still one


def test_an_answer_that_comes_after_the_end_is_no_damage(tmp_path: Path) -> None:
    folder = RunFolder(Location.of(tmp_path))
    (tmp_path / BILL).write_text("one row\n")
    assert BILL not in take_inventory(folder.location, done=False)
    assert BILL in take_inventory(folder.location, done=True)
