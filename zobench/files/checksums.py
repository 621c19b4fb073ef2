"""Checksums inside stored files: a file that was damaged is noticed when it is read.

A checksum finds damage by accident. It does not find a change by somebody who computes it anew.
"""

from __future__ import annotations

import hashlib

DIGITS = 16
"""Hexadecimal digits of a checksum."""


def checksum(content: bytes | bytearray | memoryview, before: str = "") -> str:
    """The checksum of bytes: BLAKE2b with 64 bits, as hexadecimal digits.

    Args:
        content: The bytes.
        before: The checksum of the row before, so that a lost row is noticed, too; empty for a
            file or a first row.
    """
    hasher = hashlib.blake2b(before.encode(), digest_size=DIGITS // 2)
    hasher.update(content)
    return hasher.hexdigest()
