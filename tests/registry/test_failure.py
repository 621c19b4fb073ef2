"""Who is named as the one that raised an exception."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pytest

from zobench.files.location import Location
from zobench.registry.failure import run_failure


class Holder:
    """A value that cannot be computed."""

    @cached_property
    def value(self) -> float:
        raise KeyError("oops")


def test_the_property_is_named_and_not_what_caches_it(tmp_path: Path) -> None:
    core = compile("holder.value", "core.py", "exec")  # as a module of zobench reads it
    with pytest.raises(KeyError) as caught:
        exec(core, {"__name__": "zobench.core", "holder": Holder()})
    whole = caught.value.__traceback__
    assert whole is not None
    raised = caught.value.with_traceback(whole.tb_next)  # without this function
    told = str(run_failure(raised, Location.of(tmp_path / "traceback.txt")))
    assert "KeyError: 'oops', raised by Holder.value (test_failure.py, line " in told
