"""A service whose model changes: the run ends, and nothing of it reaches another run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from remote_runs import PATIENT, SMALL
from rented import films, service
from scripted import Act, Scripted, answers, honest, scripted

from zobench.billing.account import Account
from zobench.errors import ModelChanged

Run = Callable[..., subprocess.CompletedProcess[str]]

OTHER = answers(lambda found: -3 * found[:, ::-1])
SETTINGS = (
    "--set",
    "encoder.chunk=32",
    "--set",
    "encoder.wire=json",
    "--set",
    "encoder.canary=700",
)


def asked(server: Scripted, *script: Act) -> list[str]:
    """A run of fewer images than lie between two checks, so that only the last one sees a change."""
    server.model["inputs"][0]["shape"] = [-1, 1, 8, 8]
    server.script[:] = script
    words = ["run", "--optimizer", "random", "--budget", "80", "--controls", "none", *SMALL]
    words += ["--scored", "1", "--encoder", "http:oip", "--encoder-url", server.url]
    return [*words, *PATIENT, *SETTINGS, "--json"]


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
def test_embeddings_of_a_model_that_was_another_one_for_a_while_reach_no_other_run(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    with scripted() as server:
        changed = here(*asked(server, *[honest] * 4, *[OTHER] * 999))  # within the training images
        assert changed.returncode == 3
        assert "is not what it was" in changed.stderr
        found = [json.loads(here(*asked(server)).stdout) for _ in range(2)]
    manifests = [json.loads(Path(each["run_dir"], "manifest.json").read_text()) for each in found]
    assert [each["reused"] for each in manifests] == [
        [],
        ["clean embeddings", "SA head", "clean test embeddings"],
    ]
    assert found[0]["scores"] == found[1]["scores"]


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
