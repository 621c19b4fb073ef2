"""A service whose model changes: the run ends, and nothing of it reaches another run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from remote_runs import PATIENT, SMALL
from rented import films, service
from scripted import Act, Scripted, answers, honest, http, says, scripted

from zobench.billing.account import Account
from zobench.errors import ModelChanged

Run = Callable[..., subprocess.CompletedProcess[str]]

OTHER = answers(lambda found: -3 * found[:, ::-1])
CHUNK = 8
SETTINGS = ("chunk=8", "connections=1", "wire=json", "canary=700")


def asked(server: Scripted, *script: Act) -> list[str]:
    """A run of fewer images than lie between two checks, so that only the last one sees a change."""
    server.model["inputs"][0]["shape"] = [-1, 1, 8, 8]
    server.script[:] = script
    words = ["run", "--optimizer", "random", "--budget", "80", "--controls", "none", *SMALL]
    words += ["--scored", "1", "--encoder", "http:oip", "--encoder-url", server.url]
    settings = [word for each in SETTINGS for word in ("--set", f"encoder.{each}")]
    return [*words, *PATIENT, *settings, "--json"]


def test_the_last_check_comes_after_the_last_image_and_only_if_there_was_one(
    tmp_path: Path,
) -> None:
    with service() as (server, encoder):
        encoder.open_account(Account(tmp_path))
        encoder.check()
        assert not server.asked
        encoder.embed(films(8))
        encoder.check()
        encoder.check()
        assert len(server.asked) == 2 + 1
        encoder.embed(films(4))
        server.script.append(OTHER)
        with pytest.raises(ModelChanged, match="start a new run"):
            encoder.check()
        assert encoder.account.bill.usage["check"].images_billed == 1 + 8 + 1 + 4 + 1


@pytest.mark.usefixtures("tiny_installed")
def test_embeddings_of_a_model_that_changed_reach_no_other_run(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changes come after the first block, which a run compares before it uses stored embeddings."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "one"))
    with scripted() as server:
        whole = json.loads(here(*asked(server)).stdout)
        requests = len(server.asked)
        monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "two"))
        edited = (120 + 160) // CHUNK  # come last, before the last check
        within_training, within_test = 10, requests - edited - 4
        for honest_ones in (within_training, within_test):
            changed = here(*asked(server, *[honest] * honest_ones, *[OTHER] * 999))
            assert changed.returncode == 3
            assert "is not what it was" in changed.stderr
        again = json.loads(here(*asked(server)).stdout)
    manifest = json.loads(Path(again["run_dir"], "manifest.json").read_text())
    assert manifest["reused"] == ["clean embeddings", "SA head"]
    assert again["scores"] == whole["scores"]


@pytest.mark.usefixtures("tiny_installed")
def test_a_change_at_the_last_image_is_noticed(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted() as server:
        monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "one"))
        assert here(*asked(server)).returncode == 0
        requests = len(server.asked)
        monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "two"))
        changed = here(*asked(server, *[honest] * (requests - 2), *[OTHER] * 999))
    assert changed.returncode == 3
    assert "start a new run" in changed.stderr


@pytest.mark.usefixtures("tiny_installed")
def test_answers_that_an_earlier_process_received_reach_no_other_run(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    refused = says(http(b"{}", "403 Forbidden"))
    with scripted() as server:
        ended = here(*asked(server, *[honest] * 10, *[OTHER] * 2, refused))
        assert ended.returncode == 3
        (folder,) = (tmp_path / "runs").iterdir()
        server.script.clear()
        assert here("resume", str(folder)).returncode == 0
    stored = list((tmp_path / "cache").glob("shared/*/*"))
    assert len(stored) == 1  # the SA head, whose name holds the embeddings that it is of


@pytest.mark.usefixtures("tiny_installed")
def test_a_verification_notices_a_change_at_its_last_image(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as a change of the service, and not as a run that cannot be reproduced."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    with scripted() as server:
        folder = json.loads(here(*asked(server)).stdout)["run_dir"]
        verify = ("verify", folder, "--queries", "16")
        before = len(server.asked)
        assert here(*verify).returncode == 0
        requests = len(server.asked) - before
        server.script[:] = [*[honest] * (requests - 2), *[OTHER] * 2]
        changed = here(*verify)
    assert changed.returncode == 3
    assert "is not what it was" in changed.stderr
