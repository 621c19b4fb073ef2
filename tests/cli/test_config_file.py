"""Configs as files, and what a shell completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tiny import SIZES, run

from zobench.cli.app import app
from zobench.cli.config_file import read_config, written
from zobench.cli.options import seconds
from zobench.config import RunConfig
from zobench.errors import ConfigError

Here = Callable[..., subprocess.CompletedProcess[str]]
HARD = 'a "b" \\ c\tü \U0001f980'


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(
            optimizer="best-of:pgd",
            data_root="/a b/c",
            box=0.1,
            quantize=8,
            overrides={
                "optimizer": {"inner.step": 0.005, "share": 0.5},
                "dataset": {"label": HARD, "varies": True},
                "split": {"train": 12},
            },
        ),
    ],
)
def test_a_config_is_read_as_it_was_written(tmp_path: Path, config: RunConfig) -> None:
    path = tmp_path / "run.toml"
    path.write_text(written(config))
    assert RunConfig(**read_config(path)) == config


def test_a_table_in_a_table_is_a_name_with_a_dot(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[set.optimizer]\ninner.step = 0.1\nshare = 1\n")
    assert read_config(path) == {"overrides": {"optimizer": {"inner.step": 0.1, "share": 1}}}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("optimzer = 'x'", r"no field 'optimzer' \(did you mean 'optimizer'"),
        ("set = 3", "parameters go into tables"),
        ("[optimizer]\nstep = 0.1", r"\[optimizer\] is to be \[set\.optimizer\]"),
        ("x = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_with_its_name(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"run.toml.*{word}"):
        read_config(path)


def test_a_run_can_be_had_again_from_its_config_and_options_go_first(
    tiny_installed: None, here: Here, tmp_path: Path
) -> None:
    found = run(
        tmp_path / "first", optimizer="random", overrides={**SIZES, "optimizer": {"step": 0.02}}
    )
    done = here("show", str(found.run_dir), "--config")
    assert done.returncode == 0, done.stderr
    (tmp_path / "run.toml").write_text(done.stdout)
    done = here("run", "--config", "run.toml", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["config"] == json.loads(json.dumps(found.config.as_dict()))
    assert again["scores"] == json.loads(json.dumps([each.as_dict() for each in found.scores]))
    typed = ["--budget", "200", "--set", "optimizer.step=0.05", "--set", "optimizer.candidates=2"]
    done = here("run", "--config", "run.toml", *typed, "--json")
    config = json.loads(done.stdout)["config"]
    assert config["budget"] == 200
    assert config["batch_size"] == 10
    assert config["overrides"]["optimizer"] == {"step": "0.05", "candidates": "2"}
    done = here("run", "--config", "nowhere.toml")
    assert (done.returncode, "nowhere.toml cannot be read" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), ("30", None), ("-1m", None)],
)
def test_a_time_has_a_unit(text: str, wanted: float | None) -> None:
    if wanted is None:
        with pytest.raises(ConfigError, match="such as 90s, 30m or 2h"):
            seconds(text)
    else:
        assert seconds(text) == wanted


def completed(line: str, folder: Path) -> list[str]:
    words = line.split(" ")
    told = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "zobench"],
        cwd=folder,
        env={**os.environ, **told, "_ZOBENCH_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def test_commands_of_plugins_are_listed_once_also_after_one_was_mistyped() -> None:
    commands: Any = typer.main.get_command(app)
    context = commands.make_context("zobench", ["embd"])
    before = commands.list_commands(context)
    assert "embed" in before
    with pytest.raises(Exception, match="No such command 'embd'"):
        commands.resolve_command(context, ["embd"])
    assert commands.list_commands(context) == before


def test_a_shell_completes_plugins_commands_and_run_folders(tmp_path: Path) -> None:
    found = run(tmp_path / "runs", optimizer="random", overrides=SIZES)
    assert {"gezo", "gezo-released"} <= set(completed("zobench run --optimizer ge", tmp_path))
    assert completed("zobench run --optimizer nev", tmp_path) == ["nevergrad:"]
    assert "vit-mae" in completed("zobench run --encoder v", tmp_path)
    assert completed("zobench resu", tmp_path) == ["resume"]
    assert completed("zobench emb", tmp_path) == ["embed"]
    assert completed("zobench embed --prec", tmp_path) == ["--precision"]
    assert completed("zobench plugin ne", tmp_path) == ["new"]
    assert completed("zobench show runs/", tmp_path) == [f"runs/{found.run_id}"]
    assert "standard" in completed("zobench suite st", tmp_path)
