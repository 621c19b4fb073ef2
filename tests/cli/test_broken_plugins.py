"""A plugin that cannot be loaded: what only reads stored runs goes on without it, and names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run_command
from tiny import SIZES, run

from zobench.testing.projects import as_if_installed


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "zobench_broken.py").write_text("import no_such_module\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "zobench-broken"\nversion = "1"\n'
        '[project.entry-points.zobench]\nbroken = "zobench_broken"\n'
    )
    with as_if_installed(tmp_path):
        yield


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for optimizer in ("random", "spsa"):
        run(out, optimizer=optimizer, overrides=SIZES)
    update = ("gate", str(out), "--update", "--baseline", str(out.parent / "baseline.json"))
    assert run_command(*update).returncode == 0
    return out


@pytest.mark.usefixtures("broken")
def test_stored_runs_are_read_without_it_and_a_note_names_it(stored: Path, tmp_path: Path) -> None:
    baseline = stored.parent / "baseline.json"
    for command in (
        ("show", str(stored), "--json"),
        ("show", str(next(stored.iterdir()))),
        ("compare", str(stored), "--a", "random", "--b", "spsa"),
        ("gate", str(stored), "--baseline", str(baseline)),
        ("report", str(stored), "--out", str(tmp_path / "page.html")),
        ("report", "--for", "people", str(stored), "--where", "label=spsa"),
    ):
        done = run_command(*command, cwd=tmp_path)
        said = " ".join(done.stderr.split())
        assert done.returncode == 0, (command, said)
        assert said.count("what it registers is left out") == 1, command
        assert "distribution 'zobench-broken'" in said
    assert run_command("export", "--help", cwd=tmp_path).returncode == 0


@pytest.mark.usefixtures("broken")
def test_what_makes_runs_is_refused_and_an_unknown_command_may_be_its(
    stored: Path, tmp_path: Path
) -> None:
    update = ("gate", str(stored), "--update", "--baseline", "new.json")  # must lack no metric
    for command in (("run", "--dry-run"), ("list",), ("doctor",), ("walk",), update):
        done = run_command(*command, cwd=tmp_path)
        assert done.returncode == (1 if command == ("doctor",) else 2), command
        assert "distribution 'zobench-broken'" in " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stderr
