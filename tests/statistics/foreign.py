"""Functions of other benchmark tools, for comparison."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from typing import Any


def coco_statistics() -> Any:
    """The module cocopp.toolsstats; does not run cocopp's ``__init__``, which uses the network."""
    if "cocopp" not in sys.modules:
        spec = importlib.util.find_spec("cocopp")
        assert spec is not None
        package = types.ModuleType("cocopp")
        package.__path__ = list(spec.submodule_search_locations or [])
        sys.modules["cocopp"] = package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("cocopp.toolsstats")
