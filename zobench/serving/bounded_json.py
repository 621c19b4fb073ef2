"""Parses JSON from elsewhere after a count of its brackets and commas, which bound its memory."""

from __future__ import annotations

from typing import Any

import orjson

MAX_CONTAINERS = 250_000
"""Most lists and objects; a request of 256 images of 3 x 224 rows has 172,800."""

MAX_VALUES = 16_000_000
"""Most commas, so about the most numbers: as many as 64 MiB hold in usual notation."""


class UnboundedJson(ValueError):
    """JSON that is refused before it is parsed; the message says what it has too much of."""


def parse(
    body: bytes,
    end: int | None = None,
    *,
    containers: int = MAX_CONTAINERS,
    values: int = MAX_VALUES,
) -> Any:
    """The value of a JSON text.

    Millions of empty lists in a few megabytes take gigabytes and half a minute to parse. Counting
    brackets and commas takes milliseconds. Brackets in texts count as well.

    Args:
        body: The text, in UTF-8.
        end: Where the text ends in ``body``; ``None`` for its end.
        containers: Most brackets that open a list or an object.
        values: Most commas.

    Raises:
        UnboundedJson: The text has too many brackets or commas.
        orjson.JSONDecodeError: The text is no JSON.
    """
    stop = len(body) if end is None else end
    opened = body.count(b"[", 0, stop) + body.count(b"{", 0, stop)
    if opened > containers:
        raise UnboundedJson(f"{opened:,} lists and objects came; at most {containers:,} are read")
    commas = body.count(b",", 0, stop)
    if commas > values:
        raise UnboundedJson(f"{commas:,} values came; at most {values:,} are read")
    return orjson.loads(memoryview(body)[:stop])
