"""Runs through ``zobench serve`` equal local runs, also after faults of client and server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import run_command
from remote_runs import (
    PATIENT,
    SMALL,
    answered,
    finished,
    in_out,
    local,
    remote,
    run,
    same,
    start,
    wait_until,
)
from scripted import honest, http, says, scripted
from served import Served, served

pytestmark = pytest.mark.usefixtures("tiny_installed")


def test_a_remote_run_is_the_local_one_and_its_bill_is_the_servers(
    server: Served, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    before = server.images().get("embedded", 0)
    found = finished(start(there, *run(there, *remote(server))))
    same(in_out(local(here), here), in_out(found, there))
    bill, ledger = found["bill"], found["ledger"]
    assert bill["total"]["images_billed"] == server.images()["embedded"] - before
    assert bill["total"]["images_sent"] == bill["total"]["images_billed"]
    assert bill["optimize"]["images_billed"] == ledger["optimize"]["forward"] == 400
    assert bill["setup"]["images_billed"] == ledger["setup"]["forward"]


@pytest.mark.lengthy
def test_failures_and_limits_change_nothing_and_are_billed_to_the_image(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    options = ("--fail-rate", "0.2", "--max-requests", "3", "--latency", "0.002", "--seed", "1")
    more = ["--set", "encoder.chunk=8", "--set", "encoder.connections=6"]
    with served(*options) as server:
        words = run(there, *remote(server, *more), budget=2000, optimizer="gezo")
        found = finished(start(there, *words))
        counted = server.images()
    same(in_out(local(here, budget=2000, optimizer="gezo"), here), in_out(found, there))
    total = found["bill"]["total"]
    assert total["images_billed"] == counted["embedded"]
    assert total["images_maybe_billed"] == counted["failed"] > 0
    refused = total["images_sent"] - counted["embedded"] - counted["failed"]
    assert refused > 0  # --max-requests refused requests before the server read their images


@pytest.mark.lengthy
def test_killed_client_and_killed_server_end_as_if_nothing_had_been(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    slow = ("--latency", "0.02")
    with served(*slow) as server:
        words = remote(server, "--set", "encoder.failures=100000")
        process = start(there, *run(there, *words, budget=1600, optimizer="gezo"))
        wait_until(lambda: answered(there) >= 12, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (folder,) = there.glob("runs/*")
        process = start(there, "resume", str(folder))
        came = answered(there)
        wait_until(lambda: answered(there) >= came + 8, process)
        server.end(signal.SIGKILL)
        wait_until(lambda: b"no connection" in (folder / "bill.jsonl").read_bytes(), process)
        with served(*slow, port=server.port):
            found = finished(process)
    same(in_out(local(here, budget=1600, optimizer="gezo"), here), in_out(found, there))
    rows = [json.loads(line) for line in (folder / "bill.jsonl").read_text().splitlines()]
    sent = {row["request"]: row for row in rows if row["is"] == "sent"}
    billed = [sent[row["request"]]["key"] for row in rows if row["is"] == "answered"]
    paid = [key for key in billed if sum(key == each for each in billed) > 1]
    images = {row["key"]: row["images"] for row in sent.values()}
    assert not [key for key in paid if images[key] > 1], "something was paid for twice"


@pytest.mark.lengthy
def test_a_service_that_is_gone_stops_the_run_which_goes_on_where_it_is_now(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with served("--latency", "0.02") as server:
        words = remote(server, "--set", "encoder.failures=3")
        process = start(there, *run(there, *words, budget=1600, optimizer="gezo"))
        wait_until(lambda: answered(there) >= 12, process)
        server.end(signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "go on with: zobench resume" in " ".join(errors.split())
    assert "Traceback" not in errors
    (folder,) = there.glob("runs/*")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "failed"
    with served() as server:
        found = finished(start(there, "resume", str(folder), "--encoder-url", server.url))
    same(in_out(local(here, budget=1600, optimizer="gezo"), here), in_out(found, there))


def test_a_second_interrupt_ends_a_run_that_waits_for_a_busy_service(tmp_path: Path) -> None:
    busy = says(http(b"{}", "429 Too Many Requests", Retry_After="30"))
    with scripted(honest) as server:
        server.model["inputs"][0]["shape"] = [-1, 1, 8, 8]
        server.script.extend([busy] * 99)
        service = ["--encoder", "http:oip", "--encoder-url", server.url]
        process = start(tmp_path, *run(tmp_path, *service, "--set", "encoder.wire=json"))
        wait_until(lambda: len(server.asked) >= 5, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
        asked = len(server.asked)
    assert time.monotonic() - began < 20
    assert process.returncode == 130, errors
    assert "zobench resume" in " ".join(errors.split())
    assert "Traceback" not in errors
    assert asked <= 1 + 4  # the canary and one request per connection; none after the interrupt


@pytest.mark.lengthy
def test_a_run_that_two_interrupts_ended_goes_on(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with served("--latency", "0.12") as server:
        words = remote(server, "--set", "encoder.chunk=8", "--set", "encoder.price=0.01")
        process = start(there, *run(there, *words))
        wait_until(lambda: any(there.glob("runs/*/trace.jsonl")), process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.03)  # the second press comes while requests of the first one are on their way
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 130, errors
        (folder,) = there.glob("runs/*")
        found = finished(start(there, "resume", str(folder)))
    same(in_out(local(here), here), in_out(found, there))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--encoder", "http:oip"], 2, "encoder.url is ''"),
        (["--encoder", "http:oup", "--encoder-url", "http://127.0.0.1:9"], 2, "did you mean 'oip'"),
        (["--encoder", "http:voyage"], 2, "environment variable VOYAGE_API_KEY"),
        (["--encoder", "http:custom", "--encoder-url", "http://127.0.0.1:9"], 2, "encoder.template"),
        (["--encoder", "http:oip", "--encoder-url", "http://127.0.0.1:9", "--device", "cpu"], 2,
         "runs elsewhere"),
        (["--encoder", "tiny", "--max-cost", "3"], 2, "nobody bills it"),
        (["--encoder", "tiny", "--quantize", "4"], 2, "quantize is 4, but must be 8"),
        (["--encoder", "tiny", "--quantize", "8", "--optimizer", "adam"], 2, "leave --quantize out"),
        (["--encoder", "http:oip", "--encoder-url", "http://127.0.0.1:9", "--set",
          "encoder.failures=1"], 3, "no connection"),
    ],
)  # fmt: skip
def test_mistakes_get_one_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Callable[..., subprocess.CompletedProcess[str]],
    words: list[str],
    code: int,
    said: str,
) -> None:
    for name in [each for each in os.environ if each.endswith("API_KEY")]:
        monkeypatch.delenv(name)
    optimizer = [] if "--optimizer" in words else ["--optimizer", "random"]
    done = here("run", *SMALL, "--budget", "400", *optimizer, *words)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/*/trace.jsonl"))


@pytest.mark.lengthy
def test_8_bit_transport_is_told_and_equals_rounding_here(server: Served, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    pictures = ["--encoder", "http:openai", "--encoder-url", f"{server.root}/v1", *PATIENT]
    pictures += ["--set", "encoder.model=tiny", "--set", "encoder.size=8"]
    found = in_out(finished(start(there, *run(there, *pictures))), there)
    rounded = in_out(local(here, "--quantize", "8"), here)
    same(rounded, found)
    assert found["scores"][-1]["sent"] == rounded["scores"][-1]["sent"]
    assert 0 < found["scores"][-1]["sent"]["changed"] <= 1
    shown = run_command("show", found["run_dir"])
    assert "sent as 8-bit pixels" in shown.stdout
    assert "maybe billed" in shown.stdout


SUITE = """
optimizers = ["random", "openai-es"]
datasets = ["tiny"]
diseases = ["spots"]

[[encoders]]
name = "http:oip"
set = {{ url = "{url}", connections = 2 }}

[run]
budget = 160
batch_size = 8
snapshots = 2
replicates = 20

[split]
train = 60
test_per_cell = 20
"""


@pytest.mark.lengthy
def test_a_suite_pays_once_and_verify_and_probe_tell_what_they_sent(
    server: Served, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(SUITE.format(url=server.url))
    words = ("suite", str(path), "--out", str(tmp_path / "runs"), "--jobs", "2", "--json")
    before = server.images()["embedded"]
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    folders = [Path(each["run_dir"]) for each in json.loads(done.stdout)["runs"]]
    bills = [
        json.loads(run_command("show", str(each), "--json").stdout)["bill"] for each in folders
    ]
    planning = 1
    paid = sum(each["total"]["images_billed"] for each in bills) + planning
    assert server.images()["embedded"] - before == paid
    again = run_command(*words)
    assert again.returncode == 0, again.stderr
    assert server.images()["embedded"] - before == paid + planning

    before = server.images()["embedded"]
    verified = run_command("verify", str(folders[0]), "--queries", "80")
    assert verified.returncode == 0, verified.stderr + verified.stdout
    sent = server.images()["embedded"] - before
    assert f"images sent to http:oip: {sent:,}; {sent:,} billed, 0 perhaps" in verified.stderr

    before = server.images()["embedded"]
    there = ["--dataset", "tiny", "--disease", "spots", "--images", "100"]
    service = ["--encoder", "http:oip", "--set", f"encoder.url={server.url}"]
    probed = run_command("probe", *there, *service, "--set", "encoder.price=0.5")
    assert probed.returncode == 0, probed.stderr
    sent = server.images()["embedded"] - before
    bill = f"images sent to http:oip: {sent:,}; {sent:,} billed, 0 perhaps"
    assert f"{bill}, at most {sent / 2:.2f} in all" in " ".join(probed.stderr.split())


@pytest.mark.lengthy
def test_a_suite_whose_service_is_gone_is_no_mistake_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    text = SUITE.format(url="http://127.0.0.1:9/v2/models/m")
    path.write_text(text.replace("connections = 2", "failures = 1"))
    done = run_command("suite", str(path), "--out", str(tmp_path / "runs"))
    assert done.returncode == 3
    assert "no connection" in " ".join(done.stderr.split())
