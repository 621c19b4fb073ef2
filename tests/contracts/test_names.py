"""The names of ``zobench.contracts``, each of which is loaded when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zobench import contracts


def test_every_public_name_is_there_and_no_other() -> None:
    known = {name for names in contracts._MODULES.values() for name in names.split()}
    assert known == set(contracts.__all__)
    assert dir(contracts) == sorted(contracts.__all__)
    for name in contracts.__all__:
        assert getattr(contracts, name) is not None
    assert contracts.optimizer.Ask is contracts.Ask


def test_an_unknown_name_is_an_error_as_in_any_module() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from zobench.contracts import Nothing  # type: ignore[attr-defined]  # noqa: F401


def test_one_contract_loads_no_other() -> None:
    code = (
        "import sys; from zobench.contracts import Space; "
        "print('zobench.contracts.executor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
