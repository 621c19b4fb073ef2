"""The suites that come with zobench: their names, their files, and that a version never changes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import run_command

from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry
from zobench.suite.file import read_suite
from zobench.suite.named_suites import named_suites, suite_file, summary

PUBLISHED = {
    "quick-1": "db2bd76fe2f86ba7",
    "real-1": "770821296d6137cc",
    "real-small-1": "b05595e38ae0e980",
    "standard-1": "bde8059c3c4769a3",
    "standard-long-1": "2d964a4f7fdb62d0",
    "standard-small-1": "1db14038aea1fb70",
}
"""Digest of each version; a changed suite needs a new version, in a new file."""


def test_a_version_never_changes() -> None:
    digests = {
        name: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        for name, path in named_suites().items()
        if name[-1].isdigit()
    }
    assert digests == PUBLISHED


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_each_is_a_suite_of_plugins_that_there_are_and_names_its_version(name: str) -> None:
    path = suite_file(name)
    suite = read_suite(path)
    short, _, version = name.rpartition("-")
    assert suite.name == f"{short} {version}"
    registry = load_registry()
    for entry in suite.entries:
        registry.find(f"{entry.owner}s", entry.name)
    assert summary(path).endswith((".", "FOLDER"))


def test_the_long_one_has_the_tasks_of_standard() -> None:
    standard, long = (
        read_suite(suite_file(name)).configs for name in ("standard", "standard-long")
    )
    sizes = {"budget": standard[0].budget, "batch_size": standard[0].batch_size}
    assert [config.changed(**sizes) for config in long] == list(standard)


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["quick", "standard", "standard-long", "standard-small"])
def test_each_that_brings_its_images_can_start(name: str, tmp_path: Path) -> None:
    done = run_command("suite", name, "--dry-run", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_the_name_alone_is_the_newest_version(tmp_path: Path) -> None:
    assert suite_file("standard") == suite_file("standard-1")
    assert suite_file(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match=r"no suite 'standart' \(did you mean 'standard'\?\)"):
        suite_file("standart")


def test_a_folder_of_its_name_does_not_hide_a_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").mkdir()
    assert suite_file("quick").name == "quick-1.toml"


def test_a_folder_is_given_to_the_datasets_that_name_none(tmp_path: Path) -> None:
    suite = read_suite(suite_file("real"), data_root=tmp_path)
    assert {config.data_root for config in suite.configs} == {str(tmp_path)}
    assert len(suite.configs) == 10 * 4 * 5


def test_a_folder_at_home_is_there_wherever_the_suite_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = 'optimizers = ["random"]\ndatasets = [{ name = "nih", data_root = "%s" }]\n'
    for root, wanted in (("~/films", "home/films"), ("~nobody-here/films", "~nobody-here/films")):
        (tmp_path / "mine.toml").write_text(text % root)
        suite = read_suite(tmp_path / "mine.toml")
        assert {config.data_root for config in suite.configs} == {str(tmp_path / wanted)}


def test_its_text_is_printed_to_be_changed_and_it_is_listed(
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    printed = here("suite", "quick", "--print").stdout
    assert printed == suite_file("quick").read_text().replace('"quick 1"', '"my quick 1"')
    assert "standard-long" in here("list", "suites").stdout
