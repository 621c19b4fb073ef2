"""Makes a project that is not installed importable, for ``zobench plugin check PATH``."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from zobench.errors import ConfigError
from zobench.registry.hooks import PROJECT

DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""Pattern of a valid distribution name (the packaging specification of names)."""


@dataclass(frozen=True)
class Project:
    """Name, entry points and import paths of a project.

    Attributes:
        name: The name of the distribution.
        entries: The entry points of the group ``zobench``.
        folders: Folders that hold the modules of the project.
        module: A single ``.py`` file, which is copied to an importable folder.
    """

    name: str
    entries: Mapping[str, str]
    folders: tuple[Path, ...] = ()
    module: Path | None = None


@contextmanager
def as_if_installed(path: Path) -> Iterator[str]:
    """Puts a project folder, or one module, on the path of this process and of its children.

    The entry points are written into a temporary folder that ``importlib.metadata`` reads. An
    installed distribution of the same name is hidden until the end. Imported modules stay imported,
    so a process should check only one project.

    Args:
        path: A folder with a ``pyproject.toml`` that names an entry point of the group ``zobench``,
            or a ``.py`` file with hooks in it.

    Yields:
        The name of the distribution.

    Raises:
        ConfigError: The path is neither such a folder nor such a file.
    """
    project = _project(path.resolve(), path)
    before = sys.path[:], os.environ.get("PYTHONPATH")
    with TemporaryDirectory() as folder:
        _write_metadata(Path(folder), project)
        if project.module is not None:
            shutil.copy(project.module, folder)
        added = [folder, *map(str, project.folders)]
        sys.path[:0] = added
        os.environ["PYTHONPATH"] = os.pathsep.join([*added, *filter(None, [before[1]])])
        importlib.invalidate_caches()
        try:
            yield project.name
        finally:
            sys.path[:] = before[0]
            if before[1] is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before[1]


def _project(root: Path, typed: Path) -> Project:
    if root.is_dir():
        name, entries = _declared(root / "pyproject.toml")
        return Project(
            name, entries, tuple(folder for folder in (root / "src", root) if folder.is_dir())
        )
    if root.suffix != ".py" or not root.is_file():
        raise ConfigError(f"{typed} is neither a project folder nor a .py file")
    if not root.stem.isidentifier():
        raise ConfigError(f"{typed} cannot be imported: {root.stem!r} is no name of a module")
    return Project(_owner(root.stem) or root.stem, {root.stem: root.stem}, module=root)


def _owner(module: str) -> str | None:
    """The installed distribution that brings a plugin module, if there is one."""
    for entry_point in importlib.metadata.entry_points(group=PROJECT):
        if entry_point.module == module and entry_point.dist is not None:
            return entry_point.dist.name
    return None


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
    groups = project.get("entry-points", {})
    entries = groups.get(PROJECT) if isinstance(groups, dict) else None
    texts = isinstance(entries, dict) and all(isinstance(entry, str) for entry in entries.values())
    if not entries or not texts:
        raise ConfigError(
            f"{pyproject} names no plugin; add a table [project.entry-points.{PROJECT}] "
            'with a line such as mine = "my_module"'
        )
    name = project.get("name")
    if not isinstance(name, str) or not DISTRIBUTION.fullmatch(name):
        raise ConfigError(
            f"{pyproject} has the project name {name!r}, but a name is letters and digits, joined by "
            "'.', '_' or '-'"
        )
    return name, entries


def _write_metadata(folder: Path, project: Project) -> None:
    """Writes METADATA and entry_points.txt, as an installer does (recorded-projects spec)."""
    target = folder / f"{project.name.replace('-', '_')}-0.dist-info"
    target.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project.name}\nVersion: 0\n"
    (target / "METADATA").write_text(metadata, encoding="utf-8")
    lines = [f"[{PROJECT}]", *(f"{key} = {value}" for key, value in project.entries.items()), ""]
    (target / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
