"""Writes one self-contained HTML page about many runs, for ``zobench report``."""

from __future__ import annotations
