"""What a plugin changes for the whole process is named and restored, and what libraries keep is not."""

from __future__ import annotations

import os

import pytest

from zobench.runs.process_state import restored_state


def test_changed_variables_are_named_and_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "old")
    notes: list[str] = []
    with restored_state(notes.append):
        os.environ["KEPT"] = "new"
        os.environ["ADDED"] = "more"
    assert os.environ["KEPT"] == "old"
    assert "ADDED" not in os.environ
    (note,) = notes
    assert "changed the environment variables ADDED, KEPT for the whole process" in note


@pytest.mark.parametrize("name", ["tensorboardX", "mlflow"])
def test_the_libraries_of_trackers_set_their_own_variables_in_peace(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"tensorboardX": "CRC32C_SW_MODE", "mlflow": "_MLFLOW_TELEMETRY_SESSION_ID"}[name]
    monkeypatch.delenv(found, raising=False)
    notes: list[str] = []
    with restored_state(notes.append):
        os.environ[found] = "auto"
    assert notes == []
    assert os.environ.pop(found) == "auto"
