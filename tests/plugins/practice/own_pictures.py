"""Pictures of one's own with a table, an edit for pictures of 32 pixels, and a deep PNG file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
EDIT = np.random.default_rng(0).normal(0, 0.05, (SIDE, SIDE)).astype(np.float32)
GREY = np.random.default_rng(1).integers(60, 200, (SIDE, SIDE))


def pictures(root: Path, count: int = 240) -> Path:
    """Grey pictures of 8 x 8 pixels and their table; half of each show the finding and the sex."""
    rng = np.random.default_rng(2)
    (root / "films").mkdir(parents=True)
    lines = ["image,patient,sex,melanoma"]
    for number in range(count):
        sex, finding = number % 2, number // 2 % 2
        film = rng.integers(60, 190, (8, 8))
        film[:4] += 25 * sex
        film[4:] += 20 * finding
        Image.fromarray(film.astype(np.uint8)).save(root / "films" / f"{number}.png")
        lines.append(f"{number}.png,P{number},{'FM'[sex]},{finding}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root


def png_of_16_bits(values: NDArray[np.unsignedinteger]) -> bytes:
    """A PNG file in colour with 16 bits, which Pillow cannot write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
