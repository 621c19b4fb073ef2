"""Damages stored files at random: flipped bits, cut ends, deleted files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["flip", "cut", "delete"]


@dataclass(frozen=True)
class Damage:
    """One damage, for messages of failed tests.

    Attributes:
        name: The file, relative to the folder.
        kind: The kind of damage.
        where: The flipped bit, or the bytes that are left.
    """

    name: str
    kind: Kind
    where: int


def files_below(folder: Path, left_out: Sequence[str] = ()) -> list[str]:
    """Relative names of all files below a folder, in order."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in left_out)
    return sorted(str(path.relative_to(folder)) for path in found)


def damage(folder: Path, names: Sequence[str], rng: random.Random) -> Damage:
    """Damages one of the files: half of the tries flip a bit, the others cut or delete."""
    name = rng.choice(names)
    path = folder / name
    content = bytearray(path.read_bytes())
    kind: Kind = rng.choice(["flip", "flip", "cut", "delete"])
    if kind == "delete" or not content:
        path.unlink()
        return Damage(name, "delete", 0)
    if kind == "cut":
        left = rng.randrange(len(content))
        path.write_bytes(content[:left])
        return Damage(name, kind, left)
    bit = rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return Damage(name, kind, bit)
