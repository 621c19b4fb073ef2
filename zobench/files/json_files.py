"""Reads and writes JSON files that hold their own checksum."""

from __future__ import annotations

import json
import re
from typing import Any

from .atomic import CONTENT_ERRORS, damaged, disk_errors, write_atomically
from .checksums import DIGITS, checksum
from .location import Place
from .regular import content_of

Json = dict[str, Any]
"""A JSON object."""

CHECKSUM = "checksum"
"""The last member of an object: the checksum of all bytes before it."""

_END = re.compile(rb'(?:,?)\n "checksum": "([0-9a-f]{%d})"\n\}\n' % DIGITS)
_END_BYTES = len(b',\n "checksum": ""\n}\n') + DIGITS


def write_json(
    place: Place, value: Json, *, durable: bool = True, one_line_each: bool = False
) -> None:
    """Replaces the content of a file by JSON with exact floats; NaN and infinity are refused.

    Args:
        place: The file.
        value: The new content, without a member :data:`CHECKSUM`.
        durable: Whether to wait until the file is on disk.
        one_line_each: Whether each member is one line, for thousands of numbers: only such text is
            made by Python's fast encoder, which is written in C.

    Raises:
        StoreError: The file cannot be written.
    """
    if one_line_each:
        lines = [f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in value.items()]
        begin = ("{\n" + ",\n".join(lines)).encode()
    else:
        text = json.dumps(value, indent=1, allow_nan=False)
        begin = text.removesuffix("}").removesuffix("\n").encode()
    comma = "," if value else ""
    end = f'{comma}\n "{CHECKSUM}": "{checksum(begin)}"\n}}\n'.encode()
    write_atomically(place, begin + end, durable=durable)


def read_json(place: Place) -> Json:
    """The object in a JSON file, without its checksum.

    Raises:
        DamagedError: The content is not what was written.
        StoreError: The file cannot be read.
    """
    return parsed_json(place, json_content(place))


def json_content(place: Place) -> bytes:
    """The bytes of a JSON file.

    Raises:
        StoreError: The file cannot be read.
    """
    with disk_errors(place):
        return content_of(place)


def parsed_json(place: Place, content: bytes) -> Json:
    """The object in the content of a JSON file, without its checksum.

    Raises:
        DamagedError: The content is not what was written.
    """
    end = _END.search(content, max(0, len(content) - _END_BYTES))
    if end is None or end.end() != len(content):
        raise damaged(place, "it does not end in its checksum")
    if checksum(content[: end.start()]) != end[1].decode():
        raise damaged(place, "its content does not match its checksum")
    try:
        parsed: Json = json.loads(content)
        del parsed[CHECKSUM]
    except CONTENT_ERRORS as error:
        raise damaged(place, error) from error
    return parsed
