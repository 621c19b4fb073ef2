"""``write_report``: what the page says of the runs as a whole."""

from __future__ import annotations

from pathlib import Path

from tiny import SIZES, run

from zobench.contracts.listener import Silence
from zobench.files.location import Location
from zobench.reporting.report import write_report


class Notes(Silence):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_rows_that_are_means_over_different_seeds_are_named(tmp_path: Path) -> None:
    for optimizer, seed in (("random", 0), ("random", 1), ("spsa", 0)):
        run(tmp_path / "runs", optimizer=optimizer, overrides=SIZES, seed=seed)
    told = "tiny/spots tiny: optimizers have runs of different seeds"
    assert _says(told, tmp_path, "uneven.html")
    run(tmp_path / "runs", optimizer="spsa", overrides=SIZES, seed=1)
    assert not _says(told, tmp_path, "even.html")


def _says(sentence: str, folder: Path, page: str) -> bool:
    """Whether the page says it; the listener must hear the same."""
    listener, out = Notes(), folder / page
    write_report([Location(folder / "runs")], out, title="", targets=(0.5,), listener=listener)
    says = sentence in out.read_text()
    assert says == any(note.startswith(sentence) for note in listener.notes)
    return says
