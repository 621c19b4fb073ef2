"""``python -m zobench``."""

from .cli import process

process()
