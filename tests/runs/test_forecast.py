"""What is said before a run starts, against what the run then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from served import Served
from tiny import SIZES, TinyDataset, config, run, tiny_registry

from zobench.contracts.listener import Silence
from zobench.errors import ConfigError
from zobench.runs.forecast import foresee
from zobench.suite.forecast import Total, foresee_all

SMALL = [
    *("--dataset", "tiny", "--disease", "spots", "--batch-size", "8", "--snapshots", "3"),
    *("--replicates", "50", "--set", "split.train=120", "--set", "split.test_per_cell=40"),
    *("--optimizer", "random", "--budget", "400"),
]
Here = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("optimizer", ["random", "adam", "probes"])
def test_a_run_sends_no_more_than_was_foreseen(tmp_path: Path, optimizer: str) -> None:
    found = foresee(config(optimizer), tiny_registry())
    ledger = run(tmp_path, optimizer=optimizer, overrides=SIZES).ledger
    assert found.setup == ledger["setup"]["forward"] == 120
    assert found.optimize >= ledger["optimize"]["queries"] > found.optimize - 100
    assert found.score >= ledger["score"]["forward"]
    assert found.least <= found.images
    assert found.seconds is not None
    assert found.cost is None


@pytest.mark.parametrize("encoder", ["tiny", "http:oip"])
def test_what_is_known_of_the_data_is_told_before_a_run(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(request: object) -> TinyDataset:
        dataset = TinyDataset()
        dataset.spec = replace(dataset.spec, notes=("3 of 9 rows are left out",))
        return dataset

    told: list[str] = []
    listener = Silence()
    monkeypatch.setattr(listener, "note", told.append)
    service = {"url": "http://127.0.0.1:9/v2/models/x"} if encoder != "tiny" else {}
    wanted = config("random", {**SIZES, "encoder": service}).changed(encoder=encoder)
    foresee(wanted, tiny_registry(dataset=noted), listener)
    assert told.count("3 of 9 rows are left out") == 1
    foresee_all([wanted, wanted.changed(seed=1)], tiny_registry(dataset=noted), listener)
    assert told.count("3 of 9 rows are left out") == 2


def test_a_suite_is_the_sum_of_its_runs() -> None:
    configs = [config("random"), config("zo-sgd")]
    forecasts = foresee_all(configs, tiny_registry(), Silence())
    each = [foresee(config, tiny_registry()).images for config in configs]
    assert Total(tuple(forecasts)).images == sum(each)


def test_what_is_local_is_not_billed_and_what_is_unknown_stays_so(server: Served) -> None:
    service = {"url": server.url, "price": 0.5, "chunk": 8}
    rented = config("random", {**SIZES, "encoder": service}).changed(encoder="http:oip")
    one, other = foresee_all([config("random"), rented], tiny_registry(), Silence())
    both = Total((one, other))
    assert both.cost == other.cost == 0.5 * other.images
    assert (both.calls, both.requests) == (one.requests, other.requests)
    assert both.seconds == one.seconds
    unknown = Total((other, replace(other, price=0.0, chunk=0)))
    assert unknown.cost is None
    assert unknown.requests is None


def test_a_dry_run_sends_a_service_nothing_and_says_what_it_would_cost(
    server: Served, here: Here, tmp_path: Path
) -> None:
    before = server.images()
    service = ["--encoder", "http:oip", "--encoder-url", server.url, "--set", "encoder.price=0.01"]
    done = here("run", *service, *SMALL, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["setup"] == 120
    assert told["cost"] == pytest.approx(0.01 * told["images"])
    assert told["seconds"] is None
    done = here("run", *service, *SMALL, "--dry-run")
    assert f"at most {told['cost']:,.2f}, without retries" in " ".join(done.stdout.split())
    assert server.images() == before
    assert not (tmp_path / "runs").exists()


def test_a_limit_that_cannot_pay_the_first_edit_is_refused_before_the_first_image(
    server: Served, here: Here
) -> None:
    before = server.images()
    service = ["--encoder", "http:oip", "--encoder-url", server.url, "--set", "encoder.price=0.01"]
    done = here("run", *service, *SMALL, "--max-cost", "1")
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert "max_cost is 1, but the least that this run sends" in words
    assert "the whole run is setup 120 + optimize ≤ 400 + score ≤" in words
    assert server.images() == before


def test_a_service_is_announced_before_it_is_used(server: Served, here: Here) -> None:
    service = ["--encoder", "http:oip", "--encoder-url", server.url, "--set", "encoder.price=0.01"]
    done = here("run", *service, *SMALL)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stderr.split())
    assert "http:oip will be sent: setup 120 + optimize ≤ 400 + score ≤" in words
    assert words.index("will be sent") < words.index("prepare images")


def test_gradients_of_a_service_are_refused_before_it_is_reached(here: Here) -> None:
    service = ["--encoder", "http:oip", "--encoder-url", "http://127.0.0.1:9/v2/models/x"]
    done = here("run", *service, *SMALL[:-4], "--optimizer", "adam")
    assert done.returncode == 2
    assert "needs gradients" in done.stderr


def test_what_a_config_lacks_is_said_by_the_forecast_too() -> None:
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        foresee(config("randon"), tiny_registry())


def test_a_probe_reads_the_table_before_anything_is_sent(
    server: Served, here: Here, tmp_path: Path
) -> None:
    (tmp_path / "images.csv").write_text("image,patient,sex,dx\na.png,1,f,x\nb.png,2,m,y\n")
    table = ["--dataset", "table", "--data-root", str(tmp_path), "--disease", "x"]
    table += ["--set", "dataset.sensitive=gender", "--set", "dataset.label=dx==x"]
    before = server.images()
    service = ["--encoder", "http:openai", "--set", f"encoder.url={server.root}/v1"]
    service += ["--set", "encoder.model=tiny", "--set", "encoder.size=8"]
    done = here("probe", *service, *table)
    assert done.returncode == 2
    assert "gender" in done.stderr
    assert "images sent to" not in done.stderr
    assert server.images() == before


def test_a_probe_and_a_verification_say_what_they_send(
    server: Served, here: Here, tmp_path: Path
) -> None:
    service = ["--encoder", "http:oip", "--set", f"encoder.url={server.url}"]
    done = here("probe", *service, "--dataset", "tiny", "--disease", "spots", "--images", "60")
    assert done.returncode == 0, done.stderr
    assert "http:oip will be sent: ≤ 60 images + check ≤ 2" in done.stderr
    done = here("run", *service, *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    folder = json.loads(done.stdout)["run_dir"]
    done = here("verify", folder, "--queries", "40")
    assert done.returncode == 0, done.stderr
    assert "will be sent: setup 120 + optimize 40 + check ≤ 2 images" in " ".join(
        done.stderr.split()
    )
