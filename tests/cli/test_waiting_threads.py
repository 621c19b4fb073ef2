"""OpenMP's threads sleep soon when they wait, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zobench.cli.waiting_threads import FEW_CORES, SPINS, sleep_soon, usable_cores


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP library")
@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, 7), ({"OMP_WAIT_POLICY": "passive"}, 0)],
    ids=["nothing", "spins", "policy"],
)
def test_the_library_is_told_before_torch_loads_it(
    tiny_installed: None, own: dict[str, str], spins: int
) -> None:
    if (usable_cores() or 1) > FEW_CORES and not own:
        pytest.skip(f"more than {FEW_CORES} cores, for which nothing is set")
    others = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "zobench", "run", "--optimizer", "random", "--dry-run"),
            *("--encoder", "tiny", "--dataset", "tiny", "--disease", "spots"),
        ],
        env={**others, "OMP_DISPLAY_ENV": "verbose", **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


def test_what_the_user_chose_and_many_cores_are_left_as_they_are() -> None:
    for given in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "5"}):
        variables = dict(given)
        sleep_soon(variables, 2)
        assert variables == given
    for cores in (FEW_CORES + 1, None):
        empty: dict[str, str] = {}
        sleep_soon(empty, cores)
        assert not empty
