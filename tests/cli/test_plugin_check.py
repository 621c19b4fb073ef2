"""``zobench plugin check PATH`` names the faults of a project that is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import InProcess, run_command

from zobench.cli.scaffold import write_project


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("self.rng = context.rng", "self.rng = np.random.default_rng()", "draw from context.rng"),
        ('("edit", "asks", "rng")', '("asks", "rng")', "state_dict() lacks edit"),
        ('label="value"', 'label="gradient"', "make them equal"),
        ("return self.edit.clone()", "return self.edit[0]", "context.space.shape"),
        (
            "self.asks = 0",
            "self.asks = 0\n        self.hoard = torch.ones(999, self.edit.numel())",
            "MiB in 150,544 dimensions",
        ),
    ],
)
def test_a_fault_in_a_project_that_is_not_installed_is_found_and_the_mending_named(
    tmp_path: Path, good: str, bad: str, fault: str
) -> None:
    folder = write_project("other-walk", tmp_path)
    module = folder / "zobench_other_walk.py"
    assert good in module.read_text()
    module.write_text(module.read_text().replace(good, bad))
    done = check(f"{folder.name}/", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert fault in " ".join(done.stdout.split())
    assert "other-walk misses" in done.stdout


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (
            "torch.stack([self.edit, neighbour])",
            "np.stack([self.edit, neighbour])",
            "points as ndarray",
        ),
        ("np.array([self.asks, self.asks])", "[self.asks, self.asks]", "minibatch numbers as list"),
        ("def tell(self, ask: Ask, ", "def tell(self, ", "the signature is another one"),
        (
            "self.step * torch",
            "self.stp * torch",
            "zobench_other_walk.py, line 45: neighbour = self.edit + self.stp",
        ),
    ],
)
def test_a_beginners_mistake_is_told_once_with_the_line_or_what_to_return(
    tmp_path: Path, good: str, bad: str, told: str
) -> None:
    folder = write_project("other-walk", tmp_path)
    module = folder / "zobench_other_walk.py"
    assert good in module.read_text()
    module.write_text(module.read_text().replace(good, bad))
    done = check(folder.name, tmp_path)  # without a slash
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert told in said
    assert sum(line.startswith("  no") for line in done.stdout.splitlines()) == 1
    assert "the check stops here" in said
    assert "Traceback" not in done.stdout + done.stderr


def test_a_file_with_hooks_is_checked_as_it_lies_there(tmp_path: Path) -> None:
    folder = write_project("other-walk", tmp_path)
    done = check(str(folder / "zobench_other_walk.py"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "other-walk meets every requirement" in done.stdout


FAMILY = """
import zobench

@zobench.hookimpl
def zobench_register_optimizers():
    return {"many": zobench.Plugin("many:Many", "a family", label="value", argument="kind")}
"""


@pytest.mark.parametrize(
    ("typed", "path", "content", "message"),
    [
        ("nowhere/", "elsewhere/x", "", "neither a project folder nor a .py file"),
        ("empty/", "empty/readme.md", "", "cannot read"),
        ("bad/", "bad/pyproject.toml", "[project", "is no TOML"),
        ("plain/", "plain/pyproject.toml", "[project]\nname = 'plain'\n", "names no plugin"),
        (
            "odd/",
            "odd/pyproject.toml",
            "[project.entry-points]\nzobench = 'x'\n",
            "names no plugin",
        ),
        (
            "name/",
            "name/pyproject.toml",
            "[project]\nname = 'a/b'\n[project.entry-points.zobench]\na = 'a'\n",
            "'a/b'",
        ),
        ("./idle.py", "idle.py", "", "offers no plugin that has checks"),
        ("a-b.py", "a-b.py", "", "'a-b' is no name of a module"),
        ("many.py", "many.py", FAMILY, "many:<kind>"),
    ],
)
def test_what_is_no_plugin_project_gets_one_message(
    typed: str, path: str, content: str, message: str, tmp_path: Path, here: InProcess
) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(content)
    done = here("plugin", "check", typed)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.lengthy
def test_a_folder_does_not_hide_the_optimizer_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "random").mkdir()
    done = check("random", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def check(path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_command("plugin", "check", path, cwd=cwd)


def test_checks_without_assertions_are_refused_rather_than_passed() -> None:
    words = [sys.executable, "-O", "-m", "zobench", "plugin", "check", "gezo"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "without -O" in done.stderr
