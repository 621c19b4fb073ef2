"""Lets a project that is not installed be found as if it were, for ``zobench plugin check PATH``."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ConfigError
from ..hookspecs import PROJECT


@contextmanager
def as_if_installed(path: Path) -> Iterator[str]:
    """Puts a project folder, or one module, on the path of this process and of its children.

    Its entry points are written where ``importlib.metadata`` looks, into a folder that goes away
    afterwards; an installed distribution of the same name is hidden meanwhile.

    Args:
        path: A folder with a ``pyproject.toml`` that names an entry point of the group ``zobench``,
            or a ``.py`` file with hooks in it.

    Yields:
        The name of the distribution.

    Raises:
        ConfigError: It is neither.
    """
    root = path.resolve()
    if root.is_dir():
        name, entries = _declared(root / "pyproject.toml")
        sources = [each for each in (root / "src", root) if each.is_dir()]
    elif root.suffix == ".py" and root.is_file():
        name, entries, sources = root.stem, {root.stem: root.stem}, [root.parent]
    else:
        raise ConfigError(f"{path} is neither a project folder nor a .py file")
    before = sys.path[:], os.environ.get("PYTHONPATH")
    with TemporaryDirectory() as folder:
        _write_metadata(Path(folder), name, entries)
        added = [folder, *map(str, sources)]
        sys.path[:0] = added
        os.environ["PYTHONPATH"] = os.pathsep.join([*added, before[1] or ""]).rstrip(os.pathsep)
        importlib.invalidate_caches()
        try:
            yield name
        finally:
            sys.path[:] = before[0]
            if before[1] is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before[1]


def _declared(pyproject: Path) -> tuple[str, Mapping[str, str]]:
    """Name of the distribution and its entry points of the group ``zobench``."""
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    except OSError as error:
        raise ConfigError(
            f"cannot read {pyproject}: {error.strerror}; give the folder of a project, "
            "such as zobench plugin new writes"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{pyproject} is no TOML: {error}") from error
    entries = project.get("entry-points", {}).get(PROJECT)
    if not entries:
        raise ConfigError(
            f"{pyproject} names no plugin; add a table [project.entry-points.{PROJECT}] "
            'with a line such as mine = "my_module"'
        )
    return str(project.get("name", pyproject.parent.name)), entries


def _write_metadata(folder: Path, name: str, entries: Mapping[str, str]) -> None:
    """What an installer would leave behind (the recorded-projects specification), as far as is read."""
    target = folder / f"{name.replace('-', '_')}-0.dist-info"
    target.mkdir()
    (target / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (target / "entry_points.txt").write_text("\n".join([f"[{PROJECT}]", *lines, ""]))
