"""Commands that plugins bring: their lines in the help, and what happens if one is broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import InProcess, run_command

from zobench.registry.discovery import load_registry
from zobench.testing.projects import as_if_installed


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
    monkeypatch.setattr("zobench.registry.discovery.load_registry", lambda **_: found)
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
        typed = run_command("mend", cwd=tmp_path)
        assert run_command("show", "nowhere", cwd=tmp_path).returncode == 2
        if name == "mend":
            assert "Mends." in run_command("--help", cwd=tmp_path).stdout
            assert run_command("paper", "--help", cwd=tmp_path).returncode == 0
    assert typed.returncode in (2, 3)
    assert words in " ".join(typed.stderr.split())
    assert "Traceback" not in typed.stderr
