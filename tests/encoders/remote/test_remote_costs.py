"""``--max-cost``: a limit that is never passed, and buys something wherever a refusal says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import run_command
from remote_runs import finished, in_out, remote, run, start
from served import Served

from zobench.files.json_files import read_json, write_json

pytestmark = pytest.mark.usefixtures("tiny_installed")


@pytest.mark.lengthy
def test_a_cost_limit_is_never_passed(server: Served, tmp_path: Path) -> None:
    price = ["--set", "encoder.price=0.01"]
    need = 120 + (120 + 160) + 160 + 40  # clean images, one snapshot, test images, one ask
    controls = ["--controls", "none"]
    for more, images in (([], need + 2 * (120 + 160)), (controls, need)):
        words = run(tmp_path, *remote(server, *price, "--max-cost", "3", *more))
        process = start(tmp_path, *words)
        _, errors = process.communicate()
        assert process.returncode == 2
        least = images + 4  # checks: before, after the clean images (two sets), and after all
        assert f"and its controls, if any, is {least:,} images" in " ".join(errors.split())
        assert "--controls none" in errors
        assert not list(tmp_path.glob("runs/*/trace.jsonl"))
    exact = ["--max-cost", str((need + 4) / 100), *controls]
    assert finished(start(tmp_path, *run(tmp_path, *remote(server, *price, *exact))))["fpq"]
    allowed = (need + 68) / 100
    words = run(tmp_path, *remote(server, *price, "--max-cost", str(allowed), *controls))
    found = finished(start(tmp_path, *words))
    assert found["bill"]["cost_at_most"] <= allowed
    assert found["ledger"]["optimize"]["queries"] == 40  # one batch; the rest scores a snapshot
    assert found["status"] == "done"
    folder = in_out(found, tmp_path)["run_dir"]
    shown = run_command("show", folder)
    assert "max_cost 6.68 ended the optimizer after 40 of 400 queries" in " ".join(
        shown.stdout.split()
    )
    less = run_command("resume", folder, "--max-cost", str(allowed))
    assert less.returncode == 2
    assert "give a larger one" in " ".join(less.stderr.split())
    files = [Path(folder, name) for name in ("manifest.json", "bill.jsonl")]
    before = [file.read_bytes() for file in files]
    little = run_command("resume", folder, "--max-cost", str(allowed + 0.1))
    assert little.returncode == 2
    said = " ".join(little.stderr.split())
    needed = re.search(r"nothing was sent. Give --max-cost (\S+) or more", said)
    assert needed is not None, said
    assert [file.read_bytes() for file in files] == before
    more = run_command("resume", folder, "--max-cost", needed[1], "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["ledger"]["optimize"]["queries"] > 40
    more = run_command("resume", folder, "--max-cost", "99", "--json")
    assert more.returncode == 0, more.stderr
    extended = json.loads(more.stdout)
    assert extended["ended_by"] == "budget"
    assert extended["ledger"]["optimize"]["queries"] == 400
    assert found["bill"]["cost_at_most"] < extended["bill"]["cost_at_most"] <= 99
    manifest = read_json(files[0])
    config = {**manifest["config"], "max_cost": extended["bill"]["cost_at_most"]}
    write_json(files[0], {**manifest, "status": "failed", "config": config, "files": {}})
    before = [file.read_bytes() for file in files]
    for _ in range(2):  # as a cluster starts what failed again: not even a check is paid
        again = run_command("resume", folder)
        assert again.returncode == 2
        assert (
            "1 more is needed to check the service, besides what the run itself sends; nothing was sent"
            in " ".join(again.stderr.split())
        )
        assert [file.read_bytes() for file in files] == before


@pytest.mark.lengthy
def test_the_cost_that_a_refusal_names_buys_a_batch_where_checks_are_many(
    server: Served, tmp_path: Path
) -> None:
    words = ["--set", "encoder.price=0.01", "--set", "encoder.canary=20", "--controls", "none"]
    words = remote(server, *words, "--max-cost", "6.9")
    found = in_out(finished(start(tmp_path, *run(tmp_path, *words))), tmp_path)
    assert found["ended_by"] == "max_cost"
    spent = found["ledger"]["optimize"]["queries"]
    little = run_command("resume", found["run_dir"], "--max-cost", "6.91")
    needed = re.search(r"Give --max-cost (\S+) or more", " ".join(little.stderr.split()))
    assert needed is not None, little.stderr
    more = run_command("resume", found["run_dir"], "--max-cost", needed[1], "--json")
    assert more.returncode == 0, more.stderr
    extended = json.loads(more.stdout)
    assert extended["ledger"]["optimize"]["queries"] > spent
    assert extended["bill"]["cost_at_most"] <= float(needed[1])


@pytest.mark.lengthy
def test_edits_that_are_scored_on_the_way_are_paid_once(server: Served, tmp_path: Path) -> None:
    """With --until each snapshot is scored before the next ask: what is paid is not kept aside again."""
    words = remote(
        server, "--set", "encoder.price=0.01", "--until", "recovery=1", "--controls", "none"
    )
    least = finished(start(tmp_path, *run(tmp_path, *words, "--dry-run")))["cost"]
    found = finished(start(tmp_path, *run(tmp_path, *words, "--max-cost", str(least))))
    assert found["ended_by"] == "budget"
    assert found["bill"]["cost_at_most"] <= least


@pytest.mark.lengthy
def test_checks_of_the_service_do_not_use_up_what_scoring_needs(
    server: Served, tmp_path: Path
) -> None:
    """A check every 5 images: those of scoring need more than an ask of 16 images may leave."""
    settings = ["price=0.01", "canary=5", "chunk=2", "connections=1"]
    words = remote(server, "--max-cost", "8.5", "--controls", "none", "--scored", "1")
    words += ["--set", "optimizer.pairs=1"]
    words += [word for each in settings for word in ("--set", f"encoder.{each}")]
    words = run(tmp_path, *words, optimizer="zo-sgd", budget=4000)
    found = finished(start(tmp_path, *words))
    assert found["bill"]["cost_at_most"] <= 8.5
    assert found["status"] == "done"
    assert found["ended_by"] == "max_cost"
