"""``zobench plugin``: what it writes is built, installed, listed, checked and tested for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zobench.cli.scaffold import write_project
from zobench.errors import ConfigError


def command(*words: str, target: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs this Python's module with the freshly installed distribution beside what is here."""
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scaffolded project, built into a wheel and installed into a folder of its own."""
    parent = tmp_path_factory.mktemp("project")
    folder = write_project("random-walk", parent)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    where = ["--target", str(parent / "site"), str(folder)]
    done = subprocess.run([*pip, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return parent


def test_the_project_is_listed_under_its_distribution_and_keeps_the_contract(
    installed: Path,
) -> None:
    site = installed / "site"
    listed = command("zobench", "list", "optimizers", target=site, cwd=installed)
    assert "zobench-random-walk" in listed.stdout, listed.stderr
    checked = command("zobench", "plugin", "check", "random-walk", target=site, cwd=installed)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "meets every requirement" in checked.stdout


def test_its_own_tests_pass(installed: Path) -> None:
    project = installed / "zobench-random-walk"
    done = command("pytest", "-q", "tests", target=installed / "site", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("self.rng = context.rng", "self.rng = np.random.default_rng()", "draw from context.rng"),
        ('("edit", "asks", "rng")', '("asks", "rng")', "state_dict"),
        ('label="value"', 'label="gradient"', "make them equal"),
        ("return self.edit.clone()", "return self.edit[0]", "context.space.shape"),
    ],
)
def test_a_fault_is_found_and_the_mending_named(
    installed: Path, tmp_path: Path, good: str, bad: str, fault: str
) -> None:
    site = installed / "site"
    text = (site / "zobench_random_walk.py").read_text()
    assert good in text
    for path in site.glob("*.dist-info"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "zobench_random_walk.py").write_text(text.replace(good, bad))
    done = command("zobench", "plugin", "check", "random-walk", target=tmp_path, cwd=installed)
    assert done.returncode == 1, done.stdout + done.stderr
    assert fault in " ".join(done.stdout.split())


def test_a_broken_distribution_is_named(installed: Path, tmp_path: Path) -> None:
    for path in (installed / "site").glob("*.dist-info"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "zobench_random_walk.py").write_text("import no_such_module\n")
    done = command("zobench", "list", target=tmp_path, cwd=installed)
    assert done.returncode == 2
    assert "zobench-random-walk" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["Random", "a b", "-a", "a--b", ""])
def test_names_that_make_no_package_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="small letters"):
        write_project(name, tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_project("mine", tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        write_project("mine", tmp_path)


def test_checks_without_assertions_are_refused_rather_than_passed() -> None:
    words = [sys.executable, "-O", "-m", "zobench", "plugin", "check", "gezo"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "without -O" in done.stderr
