"""``python -m zobench``."""

from .cli import main

main()
