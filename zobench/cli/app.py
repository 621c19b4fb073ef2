"""All commands, in the order of the help; each imports what it needs only when it runs."""

from __future__ import annotations

from . import one_run

# isort: split
from . import many_runs

# isort: split
from . import material
from .plugin import app as plugin_app
from .root import app

app.add_typer(plugin_app, name="plugin", rich_help_panel="What runs are made of")

__all__ = ["app", "many_runs", "material", "one_run"]
