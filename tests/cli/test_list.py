"""``zobench list``: plugins, their parameters, and the members of families."""

from __future__ import annotations

import json
import re

import pytest
from commands import InProcess
from zobench_plugins.paper.production import chosen


def test_lists_say_what_labels_are_and_are_as_wide_as_a_pipe_is_told(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    lines = here("list", "optimizers").stdout.splitlines()
    assert max(map(len, lines)) == 70
    heading = lines[2].index("sees")
    for name, label in (
        ("gezo ", "value "),
        ("best-of:", "\N{GREATER-THAN OR EQUAL TO} embeddings "),
    ):
        (line,) = (line for line in lines if line.strip().startswith(name))
        assert line[heading:].startswith(label)
    monkeypatch.setenv("COLUMNS", "0")
    assert max(map(len, here("list", "optimizers").stdout.splitlines())) > 100


def test_list_shows_the_parameters_of_one(here: InProcess) -> None:
    done = here("list", "optimizers", "gezo")
    for word in ("optimizer.step", "0.01", "optimizer.samples", "from 1 to"):
        assert word in done.stdout
    typo = here("list", "optimizers", "nevergrad:CAM")
    assert typo.returncode == 2
    assert "did you mean" in typo.stderr
    rows = json.loads(here("list", "optimizers", "gezo", "--json").stdout)
    assert rows["parameters"]["momentum"]["default"] == 0.9


def test_list_shows_the_parameters_of_a_wrapper_and_of_what_it_wraps(here: InProcess) -> None:
    done = here("list", "optimizers", "best-of:pgd")
    words = "optimizer.check_images", "optimizer.inner.step", "optimizer.inner.limit"
    for word in (*words, "feedback level of best-of:pgd:  gradient"):
        assert word in done.stdout
    assert "inner" not in here("list", "optimizers", "best-of").stdout
    rows = json.loads(here("list", "optimizers", "best-of:pgd", "--json").stdout)
    assert rows["inner"]["parameters"]["step"]["default"] == 0.005
    for typo, meant in (("best-of:pdg", "pgd"), ("best-of:nevergrad:CAM", "CM")):
        unknown = here("list", "optimizers", typo)
        assert unknown.returncode == 2
        assert f"did you mean '{meant}'" in unknown.stderr


def test_what_list_says_of_a_method_can_be_set(here: InProcess) -> None:
    listed = here("list", "methods", "biasadv").stdout
    settings = dict.fromkeys(re.findall(r"method\.(biasadv\.\w+)", listed), "1")
    assert len(settings) > 2
    preset = chosen("quick", None, None, [], [], [], settings)
    assert set(preset.settings["biasadv"]) >= {each.partition(".")[2] for each in settings}


def test_list_shows_the_spaces_beside_the_plugins(here: InProcess) -> None:
    for words in (["list", "spaces"], ["list"]):
        done = here(*words)
        assert done.returncode == 0, done.stderr
        for name in ("pixel", "lowres:<k>", "dct:<k>", "patch:<p>"):
            assert name in done.stdout
        found = json.loads(here(*words, "--json").stdout)
        assert found["spaces"]["pixel"]["summary"]
    assert here("list", "spaces", "pixel").returncode == 2
    assert "did you mean 'spaces'" in here("list", "spacse").stderr


def test_list_all_names_the_members_of_families(here: InProcess) -> None:
    found = json.loads(here("list", "optimizers", "--all", "--json").stdout)
    members = found["optimizers"]["nevergrad"]["members"]
    assert {"CMA", "DE", "PSO", "NGOpt"} < set(members)
    printed = " ".join(here("list", "optimizers", "--all").stdout.split())
    assert f"nevergrad: {len(members)} optimizers" in printed
    singles = [each for each in found["optimizers"].values() if not each["argument"]]
    assert f"{len(members) + len(singles)} optimizers in all" in printed
