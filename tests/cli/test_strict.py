"""Mistakes on the command line: one message, the right exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import InProcess, run_command
from tiny import SIZES, run, tiny_registry


@pytest.mark.parametrize(
    ("typed", "pointer"),
    [
        ("run --jobs 2", "zobench run takes no --jobs; zobench suite does"),
        ("suite smoke --budget 640", "a suite file names the settings of its runs"),
        ("list --seed=3", "zobench list takes no --seed; zobench run, probe and serve do"),
        ("suite smoke --record", "zobench suite takes no --record; zobench run does"),
        (
            "plugin new --seed 3",
            "zobench plugin new takes no --seed; zobench run, probe and serve do",
        ),
        (
            "embed --encoder vit-mae a.png",
            "type its value without --encoder: zobench embed ENCODER IM",
        ),
        ("show --run runs/one", "type its value without --run: zobench show RUN"),
        ("pretrain --json", "No such option: --json"),
        ("run --budgit 3", "No such option: --budgit"),
        ("run --seed", "requires an argument"),
        ("run --json=3", "does not take a value"),
        ("run -x", "No such option: -x"),
    ],
)
def test_an_option_of_another_command_is_pointed_to(
    typed: str, pointer: str, here: InProcess
) -> None:
    done = here(*typed.split())
    assert done.returncode == 2
    assert pointer in " ".join(done.stderr.split())


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
        (["--max-time", "10"], 2, "such as 90s, 30m or 2h (did you mean 10s?)"),
        (["--max-time", "10 min"], 2, "(did you mean 10m?)"),
        (["--budget", "6,400"], 2, "must be a whole number (did you mean 6400?)"),
        (["--until", "recovery=40%"], 2, "0 < X <= 1 (did you mean recovery=0.4?)"),
        (
            ["--set", "optimizer=3"],
            2,
            "owner.name=value, e.g. optimizer.step=0.02 (owners: optimizer",
        ),
        (["--set", "step=0.1"], 2, "e.g. 'optimizer.step=0.1' (owners: optimizer"),
        (
            ["--optimizer", "nevergrad"],
            2,
            "nevergrad:<strategy> (see: zobench list optimizers --all)",
        ),
        (["--dataset", "nih"], 2, "needs --data-root"),
        (
            ["--baselines", ""],
            2,
            "--baselines is empty; give a value, the word none for nothing,",
        ),
        (["--dataset", " "], 2, "--dataset is empty; give a value, or leave --dataset out"),
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
    assert (
        "zobench run takes no 'gezo'; the optimizer is named by --optimizer; " in forgotten.stderr
    )
    served = here("serve", "vit-mae")
    assert served.returncode == 2
    assert "zobench serve takes no 'vit-mae'; the encoder is named by --encoder\n" in served.stderr
    helped = here("run", *setting, "gezo", "--help")
    assert helped.returncode == 0
    assert "--optimizer" in helped.stdout


def test_an_option_before_its_command_is_told_where_it_stands(here: InProcess) -> None:
    for words in (["--budget", "640", "run"], ["--budget=640", "run"]):
        done = here(*words)
        assert done.returncode == 2
        assert f"{words[0]} stands before the command" in done.stderr
    assert here("--version", "run").stdout.startswith("zobench ")
    assert "stands before" not in here("--foo", "run").stderr
    assert "takes no 'x'" in here("--", "run", "x").stderr
    assert "Which black-box optimizer" in here("--help", "run").stdout


def test_unknown_flags_are_wrong_usage_in_a_real_process_too(tmp_path: Path) -> None:
    for arguments in (["--bugdet", "3"], ["--optimizer", "gezoo"]):
        done = run_command("run", *arguments, cwd=tmp_path)
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


def test_resuming_a_finished_run_says_that_nothing_was_left_to_do(
    tmp_path: Path, here: InProcess
) -> None:
    finished = run(tmp_path, tiny_registry(), optimizer="random", overrides=SIZES)
    done = here("resume", str(finished.run_dir))
    assert done.returncode == 0
    assert "the run is finished, and nothing was left to do; --budget extends it" in done.stderr
    assert "recovery" in done.stdout


def test_a_config_is_toml_and_not_json(here: InProcess) -> None:
    done = here("show", "somewhere", "--config", "--json")
    assert done.returncode == 2
    assert "give one of them" in done.stderr


def test_a_newer_run_folder_asks_for_an_upgrade(tmp_path: Path, here: InProcess) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": 99}')
    done = here("show", ".")
    assert done.returncode == 3
    assert "upgrade zobench" in done.stderr
