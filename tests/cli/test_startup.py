"""What a command loads before it says something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import SIZES, run, tiny_registry

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


def test_a_bundled_encoder_is_loaded_without_timm(tmp_path: Path) -> None:
    """timm loads torchvision and PyTorch's compiler, which takes longer than PyTorch itself."""
    size = ["--set", "split.train=16", "--set", "split.test_per_cell=4", "--batch-size", "8"]
    small = [*size, "--controls", "none", "--baselines", "none", "--budget", "160"]
    modules, printed = loaded("run", *small, cwd=tmp_path)
    assert "run folder" in printed
    assert "zobench_encoders.vit_mae" in modules
    assert not modules & {"timm", "torchvision", "torch._dynamo", "nevergrad", "pandas", "sklearn"}


def test_what_is_stored_is_shown_without_torch(tmp_path: Path) -> None:
    found = run(tmp_path, tiny_registry(), optimizer="random", overrides=SIZES)
    for shown in (found.run_dir, tmp_path):
        modules, printed = loaded("show", str(shown), cwd=tmp_path)
        assert "random" in printed
        assert "recovery" in printed
        assert not modules & HEAVY
