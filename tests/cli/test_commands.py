"""The command line in real processes: exit codes, messages, no tracebacks."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run_command
from tiny import SIZES, run, tiny_registry
from zobench_plugins.paper.production import chosen

from zobench.registry.discovery import load_registry
from zobench.testing.projects import as_if_installed

SMALL = [
    *("--budget", "64", "--batch-size", "16", "--snapshots", "1", "--replicates", "20"),
    *("--set", "split.train=40", "--set", "split.test_per_cell=10"),
]
GEZO = [*SMALL, "--set", "optimizer.samples=1", "--set", "encoder.chunk=16"]
typed_in = partial(run_command, timeout=200)
InProcess = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("summary", "shown"),
    [
        ("mends [/b] things", "Mends [/b] things."),
        ("mends things.", "Mends things."),
        ("mends what?", "Mends what?"),
        ("", ""),
    ],
)
def test_any_summary_of_a_plugins_command_is_shown_in_the_help(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, summary: str, shown: str
) -> None:
    name, offer = next(iter(load_registry().offers["commands"].items()))
    changed = replace(offer, plugin=replace(offer.plugin, summary=summary))
    found = SimpleNamespace(offers={"commands": {name: changed}})
    monkeypatch.setattr("zobench.registry.discovery.load_registry", lambda: found)
    lines = here("--help").stdout.splitlines()
    (line,) = (
        each for each in lines if each.startswith(f"\N{BOX DRAWINGS LIGHT VERTICAL} {name} ")
    )
    assert line.strip("\N{BOX DRAWINGS LIGHT VERTICAL} ").removeprefix(name).strip() == shown


def test_a_mistyped_command_of_a_plugin_is_guessed(here: InProcess) -> None:
    assert "Did you mean 'export'" in " ".join(here("exprt").stderr.split())


def test_the_help_says_of_a_plugins_command_what_the_command_says_of_itself() -> None:
    for offer in load_registry().offers["commands"].values():
        said = str(offer.plugin.load().__doc__).splitlines()[0]
        assert said.removesuffix(".").lower() == offer.plugin.summary.lower()


HEAVY = {"torch", "timm", "nevergrad", "matplotlib", "pandas", "sklearn"}


def loaded(*arguments: str, cwd: Path) -> tuple[set[str], str]:
    """The modules that a command loads in a new process, and what it prints."""
    code = (
        "import sys, contextlib\n"
        f"sys.argv = ['zobench', *{arguments!r}]\n"
        "from zobench.cli import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print('LOADED', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )
    printed, _, modules = done.stdout.rpartition("LOADED ")
    return set(modules.split()), printed + done.stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["list", "optimizers"], ["run", "--help"]]
)
def test_help_and_list_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    commands = {"zobench_plugins.practice.commands", "zobench_plugins.paper.command"}
    numbers = set() if arguments == ["list"] else {"numpy"}  # metrics need it
    modules, _ = loaded(*arguments, cwd=tmp_path)
    assert not modules & {*HEAVY, *commands, *numbers, "scipy"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--optimizer", "gezoo"], "did you mean 'gezo'"),
        (["--encoder", "vit-mea"], "did you mean 'vit-mae'"),
        (["--encoder", "vit-mea", "--dry-run"], "did you mean 'vit-mae'"),
        (["--set", "split.gap=3"], "must be a number from -1 to 1"),
    ],
)
def test_a_mistyped_name_is_told_before_anything_heavy_is_loaded(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    modules, printed = loaded("run", *arguments, cwd=tmp_path)
    assert told in printed
    assert not modules & {*HEAVY, "scipy"}


def test_what_is_stored_is_shown_without_torch(tmp_path: Path) -> None:
    found = run(tmp_path, tiny_registry(), optimizer="random", overrides=SIZES)
    for shown in (found.run_dir, tmp_path):
        modules, printed = loaded("show", str(shown), cwd=tmp_path)
        assert "random" in printed
        assert "recovery" in printed
        assert not modules & HEAVY


def test_a_run_prints_one_json_object_and_show_prints_it_again(
    tmp_path: Path, here: InProcess
) -> None:
    done = typed_in("run", *GEZO, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "done"
    assert found["ledger"]["optimize"]["queries"] == 64
    assert [score["queries"] for score in found["scores"]] == [0, 64]
    again = here("show", found["run_dir"], "--json")
    assert json.loads(again.stdout) == found
    table = here("show", found["run_dir"])
    for word in ("ERM", "FPQ", "ledger", "recovery", f"zobench show {found['run_dir']}"):
        assert word in table.stdout
    assert "\x1b" not in table.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--optimizer", "gezoo"], 2, "did you mean 'gezo'"),
        (["--encoder", "vit-mea"], 2, "did you mean 'vit-mae'"),
        (["--dataset", "fantom"], 2, "did you mean 'phantom'"),
        (["--disease", "pnuemonia"], 2, "did you mean 'pneumonia'"),
        (["--set", "optimizer.stepp=1"], 2, "did you mean 'step'"),
        (["--set", "optimizer.step=-1"], 2, "a number from 0 to 1,000,000"),
        (["--set", "split.gap=3"], 2, "split.gap is '3'"),
        (["--set", "dataset.label=dx", "in", "mel"], 2, "nothing takes 'in mel'; a setting with"),
        (["--budget", "10"], 2, "budget is 10"),
        (["--budget", "abc"], 2, "--budget is 'abc', but must be a whole number"),
        (["--tolerance", "1,5"], 2, "--tolerance is '1,5', but must be a number"),
        (["--config", "none.toml"], 2, "No such file or directory; zobench show RUN --config"),
        (["--space", "pixels"], 2, "space is 'pixels'"),
        (["--device", "cuda:99"], 2, "CUDA device(s); leave --device out"),
        (["--device", "tpu"], 2, "auto, cpu or cuda:N"),
        (["--device", "cuda:x"], 2, "auto, cpu or cuda:N"),
        (["--space", "lowres"], 2, "such as lowres:28"),
        (["--dataset", "nih"], 2, "needs --data-root"),
        (["--dataset", "nih", "--data-root", "nowhere"], 2, "not a folder"),
        (["--encoder", "timm:resnet_18"], 2, "timm has no model"),
        (["--out", "/proc/nowhere"], 3, "/proc/nowhere"),
        (["--set", "split.test_per_cell=99999"], 2, "patients"),
        (["--budget", "1000"], 2, "costs 1280 queries"),
        (["--encoder", "timm:resnet18.bogus"], 2, "timm has no weights"),
        (["--encoder", "timm:resnet18", "--set", "encoder.pool=avg"], 2, "encoder.pool=avg"),
    ],
)
def test_mistakes_get_one_message_the_right_code_and_no_traceback(
    arguments: list[str], code: int, message: str, tmp_path: Path, here: InProcess
) -> None:
    done = here("run", *arguments)
    assert message in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (tmp_path / "runs").exists()


def test_a_word_too_many_is_a_split_setting_only_right_behind_one(here: InProcess) -> None:
    setting = ("--set", "optimizer.step=1")
    split = here("run", "--set=dataset.where=age", ">", "3")
    assert split.returncode == 2
    assert "must be in quotes" in split.stderr
    forgotten = here("run", "gezo", *setting)
    assert forgotten.returncode == 2
    assert "must be in quotes" not in forgotten.stderr
    assert "zobench run takes no 'gezo'; parts are named by --optimizer, " in forgotten.stderr
    helped = here("run", *setting, "gezo", "--help")
    assert helped.returncode == 0
    assert "--optimizer" in helped.stdout


def test_unknown_flags_are_wrong_usage_in_a_real_process_too(tmp_path: Path) -> None:
    for arguments in (["--bugdet", "3"], ["--optimizer", "gezoo"]):
        done = typed_in("run", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_said_to_be_full() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zobench", "list", "optimizers"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (3, "error: the disk is full: not all was written\n")


def test_show_and_resume_want_a_run_folder(here: InProcess) -> None:
    for command in ("show", "resume"):
        done = here(command, "somewhere")
        assert done.returncode == 2
        assert "is not a run folder" in done.stderr


def test_a_newer_run_folder_asks_for_an_upgrade(tmp_path: Path, here: InProcess) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": 99}')
    done = here("show", ".")
    assert done.returncode == 3
    assert "upgrade zobench" in done.stderr


def test_the_version_is_that_of_the_installed_distribution(here: InProcess) -> None:
    done = here("--version")
    assert done.returncode == 0
    assert done.stdout == f"zobench {importlib.metadata.version('zobench')}\n"


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


def test_progress_without_a_terminal_says_nothing_twice(tmp_path: Path) -> None:
    done = typed_in("run", *GEZO, "--out", "runs", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("  score: ")]
    assert lines
    told = [re.sub(r"  [\d,]+/s", "", line) for line in lines]
    assert len(set(told)) == len(told)


def test_doctor_tells_whether_bf16_pays(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for able, tiles, told in (
        (False, False, "no"),
        (True, False, "0.6 to 1.3 times as fast"),
        (True, True, "2 to 4 times as fast"),
    ):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        assert told in json.loads(here("doctor", "--json").stdout)["devices"]["bf16 on cpu"]


def test_from_python_the_same_run_comes_as_typed_objects(tmp_path: Path, here: InProcess) -> None:
    code = (
        "import zobench\n"
        "r = zobench.run(budget=64, batch_size=16, snapshots=1, replicates=20, overrides={\n"
        " 'split': {'train': 40, 'test_per_cell': 10}, 'optimizer': {'samples': 1},\n"
        " 'encoder': {'chunk': 16}})\n"
        "print(r.scores[-1].metrics['eo_p'].value)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (folder,) = (tmp_path / "runs").iterdir()
    shown = json.loads(here("show", str(folder), "--json").stdout)
    assert float(done.stdout) == shown["scores"][-1]["eo_p"]["value"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("mend", "nonsense = undefined", "distribution 'zobench-broken'"),
        ("run", "def mend(): pass", "has the name of a built-in command"),
    ],
)
def test_a_broken_command_of_a_plugin_is_named_and_the_others_work(
    tmp_path: Path, name: str, code: str, words: str
) -> None:
    (tmp_path / "broken_command.py").write_text(code + "\n")
    (tmp_path / "zobench_broken.py").write_text(
        "import zobench\n\n@zobench.hookimpl\ndef zobench_register_commands():\n"
        f"    return {{{name!r}: zobench.Plugin('broken_command:mend', 'mends')}}\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "zobench-broken"\nversion = "1"\n'
        '[project.entry-points.zobench]\nbroken = "zobench_broken"\n'
    )
    with as_if_installed(tmp_path):
        typed = typed_in("mend", cwd=tmp_path)
        assert typed_in("show", "nowhere", cwd=tmp_path).returncode == 2
        if name == "mend":
            assert "Mends." in typed_in("--help", cwd=tmp_path).stdout
            assert typed_in("paper", "--help", cwd=tmp_path).returncode == 0
    assert typed.returncode in (2, 3)
    assert words in " ".join(typed.stderr.split())
    assert "Traceback" not in typed.stderr
