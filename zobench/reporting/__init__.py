"""One self-contained HTML page about many runs."""

from __future__ import annotations
