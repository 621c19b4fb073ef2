"""The suites that come with zobench: fixed sets of tasks, optimizers and seeds, with a version.

A version never changes; another set of tasks is another version, in another file. Results name the
suite and its version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError

NAME = re.compile(r'^name = "(.*)"$', re.MULTILINE)
FILE = re.compile(r"(?P<name>[a-z][a-z-]*)-(?P<version>\d+)\.toml")


def named_suites() -> Mapping[str, Path]:
    """The file of each suite, by name with version (``standard-1``); the newest by the name alone."""
    folder = Path(str(files("zobench.suite") / "named"))
    matches = [match for path in folder.iterdir() if (match := FILE.fullmatch(path.name))]
    newest: dict[str, Path] = {}
    for match in sorted(matches, key=lambda match: int(match["version"])):
        newest[match["name"]] = folder / match.string
    exact = {match.string.removesuffix(".toml"): folder / match.string for match in matches}
    return {**newest, **exact}


def suite_file(typed: str) -> Path:
    """The suite file that a user names: a file, or a suite that comes with zobench.

    Raises:
        ConfigError: There is no file of that path, and no suite of that name.
    """
    suites = named_suites()
    path = Path(typed)
    if typed in suites and not path.is_file():
        return suites[typed]
    if not path.exists() and path.suffix != ".toml" and len(path.parts) == 1:
        names = sorted(name for name in suites if not name[-1].isdigit())
        raise ConfigError(
            f"there is no file and no suite {typed!r}{nearest(typed, suites)}; suites that come with "
            f"zobench: {', '.join(names)}"
        )
    return path


def text_of(path: Path) -> str:
    """The text of a suite file.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the suite file {path}: {error}") from error


def copy_of(path: Path) -> str:
    """The text of a suite file with a name of its own: a changed suite is another suite."""
    return NAME.sub(lambda match: f'name = "my {match[1]}"', text_of(path), count=1)


def summary(path: Path) -> str:
    """The first line of a suite file that comes with zobench, which says what it holds."""
    return text_of(path).partition("\n")[0].removeprefix("# ")
