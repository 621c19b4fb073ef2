"""``zobench doctor``: what is installed, and what the processor can do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from commands import InProcess

from zobench.cli.display import installation


def test_doctor_finds_this_installation_in_order(here: InProcess) -> None:
    done = here("doctor")
    assert done.returncode == 0, done.stdout
    for word in ("torch", "timm", "gezo", "vit-mae", "caches", "zobench itself needs is in place"):
        assert word in done.stdout
    extras = json.loads(here("doctor", "--json").stdout)["extras"]
    assert extras["serve"] == "installed"
    assert set(extras.values()) - {"installed"} <= {
        each for each in extras.values() if each.startswith("without ") and "pip install" in each
    }
    assert "test" not in extras


def test_doctor_tells_whether_bf16_pays(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for able, tiles, told in (
        (False, False, "no"),
        (True, False, "0.6 to 1.3 times as fast"),
        (True, True, "2 to 4 times as fast"),
    ):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        assert told in json.loads(here("doctor", "--json").stdout)["devices"]["bf16 on cpu"]


def test_doctor_writes_to_the_cache(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the cache's folder should be is found by writing, not by permissions."""
    (tmp_path / "taken").touch()
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "taken" / "cache"))
    done = here("doctor")
    assert done.returncode == 1
    assert "missing: a writable cache (" in done.stdout
    assert str(tmp_path / "taken") in done.stdout
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "new" / "cache"))
    assert here("doctor").returncode == 0
    assert not (tmp_path / "new").exists()


def test_doctor_names_every_package_that_zobench_requires(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = installation.distribution_version

    def without(name: str) -> str:
        return "unknown" if name in ("stamina", "torch") else real(name)

    monkeypatch.setattr(installation, "distribution_version", without)
    done = here("doctor", "--json")
    assert done.returncode == 1
    missing = json.loads(done.stdout)["missing"]
    assert [line.split(":")[0] for line in missing] == ["package torch", "package stamina"]


def test_doctor_takes_no_harm_from_files_that_vanish(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk
    gone = [("/nowhere", [], ["draft"])]
    monkeypatch.setattr(installation.os, "walk", lambda folder: [*walk(folder), *gone])
    assert here("doctor").returncode == 0
