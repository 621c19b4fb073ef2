"""The picture files that a command is given, and the names of the files that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from zobench.errors import ConfigError
from zobench.files.atomic import disk_errors

DICOM, LOSSLESS = (".dcm", ".dicom"), (".png", ".tif", ".tiff")
SUFFIXES = (*LOSSLESS, ".jpg", ".jpeg", ".bmp", *DICOM)
ARRAY = ".npy"
"""Suffix of what an encoder of exact floats is sent, as ``zobench apply --as-sent`` writes it."""


def picture_files(
    given: Sequence[Path], suffixes: Sequence[str] = SUFFIXES
) -> list[tuple[Path, Path]]:
    """The pictures among files and folders, in order.

    Args:
        given: Files, and folders that are searched.
        suffixes: How the names of pictures in a folder end; :func:`passed_over` tells of the others.

    Returns:
        Pairs of a file and its name relative to the folder that it was found in.

    Raises:
        ConfigError: A place does not exist, a folder holds no picture, or two pictures have the same
            name.
    """
    files: dict[Path, Path] = {}
    for place in given:
        if place.is_dir():
            inside = [p for p in sorted(place.rglob("*")) if _ends_in(p, suffixes)]
            if not inside:
                raise ConfigError(
                    f"{place} holds no picture; pictures end in {', '.join(suffixes)}"
                )
            pairs = [(path.relative_to(place), path) for path in inside]
        elif place.is_file():
            pairs = [(Path(place.name), place)]
        else:
            raise ConfigError(f"{place} does not exist; name picture files, or folders of them")
        for name, path in pairs:
            other = files.setdefault(name, path)
            if other != path:
                raise ConfigError(
                    f"{other} and {path} have the same name; give them one at a time, each with an "
                    "--out of its own"
                )
    return [(path, name) for name, path in files.items()]


def passed_over(given: Sequence[Path], suffixes: Sequence[str] = SUFFIXES) -> str:
    """A sentence on the files of given folders that are no pictures by their names; empty for none.

    Hidden files, and those of hidden folders, are not named.
    """
    inside = {
        path: path.relative_to(place)
        for place in given
        if place.is_dir()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not _ends_in(path, suffixes)
    }
    named_by_user = {place.resolve() for place in given}
    files = [
        path
        for path, name in inside.items()
        if path.resolve() not in named_by_user
        and not any(part.startswith(".") for part in name.parts)
    ]
    if not files:
        return ""
    named, more = ", ".join(map(str, files[:3])), f" and {len(files) - 3:,} more"
    return (
        f"left out, since their names end in none of {', '.join(suffixes)}: {named}"
        f"{more if len(files) > 3 else ''}; to take one all the same, name the file"
    )


def _ends_in(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and path.is_file()


def free_name(path: Path) -> Path:
    """A path that no file has yet: the given one, or with the first number from 2 that makes it so."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(file for file in chain([path], numbered) if not file.exists())


def edited_name(name: Path, is_dicom: bool) -> Path:
    """The name of a picture with the edit: PNG instead of JPEG and BMP; compression would change it."""
    if is_dicom or name.suffix.lower() in LOSSLESS:
        return name
    return with_suffix(name, ".png")


def with_suffix(name: Path, suffix: str) -> Path:
    """A name with another suffix; a suffix that is none of a picture's is part of the name."""
    suffixed = name.suffix.lower() in SUFFIXES
    return name.with_name(f"{name.stem if suffixed else name.name}{suffix}")


def targets(
    pairs: Sequence[tuple[Path, Path]], out: Path, rename: Callable[[Path, Path], Path], force: bool
) -> list[tuple[Path, Path]]:
    """Pairs of a picture and the file that will be made of it.

    Args:
        pairs: Files and their names.
        out: The folder of the new files.
        rename: The new name, from a file and its name.
        force: Whether files may be replaced.

    Raises:
        ConfigError: Two pictures would become one file, a file exists and ``force`` is not set, a folder
            or one of the pictures is in its place, or pictures have come from ``out``.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is no folder; name another one with --out")
    files: dict[Path, Path] = {}
    given, folder = {path.resolve() for path, _ in pairs}, out.resolve()
    for path, name in pairs:
        target = out / rename(path, name)
        searched = path.parents[len(name.parts) - 1].resolve()
        inside = searched in folder.parents and folder in (searched / name).parents
        if inside:
            raise ConfigError(
                f"{path} lies in {out}, the folder of the new images, so it may have the edit already; "
                "choose another --out"
            )
        if target.resolve() in given:
            raise ConfigError(
                f"{target} is an image that was given and would be replaced; choose another --out"
            )
        if target.is_dir():
            raise ConfigError(f"{target} is a folder; choose another --out")
        other = files.setdefault(target, path)
        if other != path:
            raise ConfigError(
                f"{other} and {path} would both become {target}; give them one at a time, each with a "
                "folder of its own"
            )
        if not force and (target.exists() or target.is_symlink()):
            raise ConfigError(f"{target} exists already; choose another folder, or --force")
    return [(path, target) for target, path in files.items()]


@contextmanager
def all_or_none(files: Sequence[Path], out: Path) -> Iterator[list[Path]]:
    """Drafts of files, which replace them when the block ends; if it fails, all stays as it was.

    Args:
        files: The files, below ``out``.
        out: Their folder; it is made if it does not exist.

    Raises:
        StoreError: The folder cannot be written.
    """
    there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    with ExitStack() as stack:
        with disk_errors(out):
            folder = stack.enter_context(TemporaryDirectory(dir=there, prefix=".zobench-"))
        drafts = [Path(folder, str(number), file.name) for number, file in enumerate(files)]
        yield drafts
        with disk_errors(out):
            for draft, file in zip(drafts, files, strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                draft.replace(file)
