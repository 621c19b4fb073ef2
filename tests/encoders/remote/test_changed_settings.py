"""Runs that go on with other settings of their service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Command
from remote_runs import PATIENT, finished, in_out, run, same, start
from served import served

pytestmark = pytest.mark.usefixtures("tiny_installed")


@pytest.mark.lengthy
def test_a_service_that_takes_fewer_images_a_request_is_sent_fewer_when_the_run_goes_on(
    tmp_path: Path,
) -> None:
    straight, there = tmp_path / "straight", tmp_path / "there"
    with served("--max-images", "8") as server:
        service = ["--encoder", "http:openai", "--encoder-url", f"{server.root}/v1", *PATIENT]
        service += ["--set", "encoder.model=tiny", "--set", "encoder.size=8"]

        def started(out: Path, chunk: int) -> Command:
            return start(out, *run(out, *service, "--set", f"encoder.chunk={chunk}"))

        asked = started(there, 16)
        _, errors = asked.communicate(timeout=100)
        assert asked.returncode == 3, errors
        words = " ".join(errors.split())
        assert "the request had 16 images: if they are too many" in words
        assert "by --set encoder.chunk=8. Everything so far is saved; go on with" in words
        (folder,) = there.glob("runs/*")
        for setting, words in (
            ("encoder.model=other", "encoder.model can change results, so a run keeps"),
            ("encoder.price=1", "encoder.price is what its bill is made of, so a run keeps"),
            ("encoder.chunks=8", "did you mean 'chunk'"),
        ):
            refused = start(there, "resume", str(folder), "--set", setting)
            _, errors = refused.communicate(timeout=100)
            assert refused.returncode == 2
            assert words in " ".join(errors.split())
        found = finished(start(there, "resume", str(folder), "--set", "encoder.chunk=8"))
        wanted = finished(started(straight, 8))
    same(in_out(wanted, straight), in_out(found, there))
    encoder = json.loads((folder / "manifest.json").read_text())["encoder"]
    assert encoder["settings"]["chunk"] == 8
