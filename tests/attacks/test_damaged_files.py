"""Random damage to stored files: never another result in silence, never a traceback.

``ZOBENCH_TRIES`` sets the number of tries of each test; ``pytest -s`` prints what came out.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attacks.damage import Damage, damage, files_below
from served import Served
from tiny import SIZES, run, tiny_registry

import zobench
from zobench.contracts.listener import Silence
from zobench.errors import Interrupted, ZobenchError
from zobench.records import layout
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry

TRIES = int(os.environ.get("ZOBENCH_TRIES", "0"))
LEFT_OUT = (layout.LOCK, layout.TIMING)
"""The lock is empty; times are no result, and a damaged row of times is cut with a note."""

SMALL = {"optimizer": "random", "replicates": 20, "snapshots": 3}


class Told(Silence):
    """A listener that keeps the notes, and stops the run after some queries."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self._stop_after, self._phase = stop_after, ""

    def note(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, name: str, total: int) -> None:
        self._phase = name

    def update(self, done: int, **figures: float) -> None:
        if self._stop_after is not None and self._phase == "optimize" and done >= self._stop_after:
            self._stop_after = None
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C does: the run saves its state


def everything(result: StoredRun) -> Mapping[str, Any]:
    """All results of a run, read from its files, as values that can be compared."""
    found = result.as_dict()
    for name in ("wall_seconds", "encoder_seconds", "run_dir", "run_id"):
        del found[name]
    setup = result.files.setup
    return {
        **found,
        "trace": result.trace,
        "edits": {each: result.edit_after(each).numpy().tobytes() for each in result.snapshots},
        "clean": setup.clean.tobytes() if setup is not None else None,
        "pictures": [
            path.read_bytes() if (path := result.files.picture(name)) is not None else None
            for name in (layout.EDIT_PICTURE, layout.IMAGES_PICTURE)
        ],
        "files": dict(result.manifest.files),
    }


def attacked(
    original: Path,
    tmp_path: Path,
    act: Callable[[Path, Told], Mapping[str, Any]],
    expected: Mapping[str, Any],
    *,
    tries: int,
    ignored: tuple[str, ...] = LEFT_OUT,
) -> Counter[str]:
    """Damages a copy of a folder ``tries`` times, acts on it, and counts what came out.

    Args:
        original: The folder whose copies are damaged.
        tmp_path: A folder for the copies.
        act: Reads or resumes what is in the folder; returns its results.
        expected: The results without damage.
        tries: The number of damaged copies.
        ignored: Names of files that are not damaged.
    """
    outcomes: Counter[str] = Counter()
    silent: list[Damage] = []
    for seed in range(TRIES or tries):
        copy = tmp_path / f"try-{seed}" / original.name
        shutil.copytree(original, copy)
        done = damage(copy, files_below(copy, ignored), random.Random(seed))
        told = Told()
        found, error = result_of(act, copy, told)
        if error is not None:
            assert Path(done.name).name in error, (done, error)
            outcomes["an error that names the file"] += 1
        else:
            if found != expected:
                silent.append(done)
            outcomes["computed anew, with a note" if told.notes else "the same result"] += 1
        shutil.rmtree(copy.parent)
    print(f"\n{original.name}: {dict(outcomes)}, another result in silence: {len(silent)}")
    assert silent == []
    return outcomes


def result_of(
    act: Callable[[Path, Told], Mapping[str, Any]], copy: Path, told: Told
) -> tuple[Mapping[str, Any], str | None]:
    """The results, or the message of the error."""
    try:
        return act(copy, told), None
    except ZobenchError as error:
        return {}, str(error)


def interrupted_run(out: Path, registry: Registry, **fields: object) -> Path:
    """The folder of a run that was stopped between two asks."""
    with pytest.raises(Interrupted):
        run(out, registry, listener=Told(200), **{**SMALL, **fields})
    (folder,) = out.iterdir()
    assert {layout.TRACE, str(layout.CHECKPOINT)} <= set(files_below(folder))
    return folder


def test_of_a_run_that_is_done(tmp_path: Path) -> None:
    registry = tiny_registry()
    folder = run(tmp_path / "done", registry, **SMALL, overrides=SIZES).run_dir

    def read(copy: Path, told: Told) -> Mapping[str, Any]:
        return everything(StoredRun(copy, registry))

    expected = everything(StoredRun(folder, registry))
    found = attacked(folder, tmp_path, read, expected, tries=60)
    assert found["computed anew, with a note"] == 0
    assert found["an error that names the file"] > 0


def test_of_a_run_that_was_interrupted(tmp_path: Path) -> None:
    registry = tiny_registry()
    folder = interrupted_run(tmp_path / "cut", registry, overrides=SIZES)
    whole = run(tmp_path / "whole", registry, **SMALL, overrides=SIZES)
    expected = {**everything(whole), "files": None}

    def resume(copy: Path, told: Told) -> Mapping[str, Any]:
        done = zobench.resume(copy, registry=registry, listener=told)
        return {**everything(done), "files": None}

    found = attacked(folder, tmp_path, resume, expected, tries=40)
    assert found["computed anew, with a note"] > 0


def test_of_an_interrupted_run_that_pays_for_its_images(
    tmp_path: Path, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tiny_registry()
    paid = {
        "encoder": "http:oip",
        "overrides": {**SIZES, "encoder": {"url": server.url, "price": "0.01"}},
    }
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    folder = interrupted_run(tmp_path / "cut", registry, **paid)
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache of another"))
    whole = zobench.resume(copied(folder, tmp_path / "whole"), registry=registry)

    def result(done: StoredRun) -> Mapping[str, Any]:
        found = {**everything(done), "files": None}
        del found["bill"], found["ledger"], found["config"]
        return found

    expected = result(whole)
    least = whole.as_dict()["bill"]["total"]["images_billed"]

    def resume(copy: Path, told: Told) -> Mapping[str, Any]:
        shown = StoredRun(copy, registry).as_dict()["bill"]  # what ``zobench show`` prints
        before = StoredRun(folder, registry).as_dict()["bill"]
        assert shown == before
        monkeypatch.setenv("ZOBENCH_CACHE", str(copy.parent / "cache"))
        done = zobench.resume(copy, registry=registry, listener=told)
        assert done.as_dict()["bill"]["total"]["images_billed"] >= least
        return result(done)

    found = attacked(folder, tmp_path, resume, expected, tries=30)
    assert found["an error that names the file"] > 0


def copied(folder: Path, other: Path) -> Path:
    shutil.copytree(folder, other)
    return other


@pytest.mark.parametrize("folder", ["shared"])
def test_of_the_cache_of_shared_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    registry, cache = tiny_registry(), tmp_path / "cache"
    monkeypatch.setenv("ZOBENCH_CACHE", str(cache))
    first = run(tmp_path / "first", registry, **SMALL, overrides=SIZES)

    def again(copy: Path, told: Told) -> Mapping[str, Any]:
        monkeypatch.setenv("ZOBENCH_CACHE", str(copy))
        done = run(copy / "runs", registry, listener=told, **SMALL, overrides=SIZES)
        return {**everything(done), "files": None}

    expected = {**everything(first), "files": None}
    found = attacked(cache, tmp_path, again, expected, tries=20, ignored=())
    assert found["an error that names the file"] == 0  # everything in a cache can be computed anew


@pytest.mark.lengthy
def test_of_a_run_of_vit_mae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the bundled encoder on the phantom, with the cache of films and of chunk sizes."""
    monkeypatch.setenv("ZOBENCH_CACHE", str(tmp_path / "cache"))
    fields: dict[str, Any] = {
        "budget": 160,
        "batch_size": 16,
        "replicates": 20,
        "snapshots": 2,
        "optimizer": "random",
        "overrides": {"split": {"train": 40, "test_per_cell": 10}, "encoder": {"chunk": 16}},
    }
    whole = zobench.run(out=tmp_path / "whole", **fields)
    with pytest.raises(Interrupted):
        zobench.run(out=tmp_path / "cut", listener=Told(80), **fields)
    (folder,) = (tmp_path / "cut").iterdir()
    shutil.copytree(folder, tmp_path / "both" / "run")
    shutil.copytree(tmp_path / "cache", tmp_path / "both" / "cache")
    expected = {**everything(whole), "files": None}

    def resume(copy: Path, told: Told) -> Mapping[str, Any]:
        monkeypatch.setenv("ZOBENCH_CACHE", str(copy / "cache"))
        return {
            **everything(zobench.resume(copy / "run", listener=told)),
            "files": None,
        }

    attacked(tmp_path / "both", tmp_path, resume, expected, tries=12)


def test_damaged_bundled_weights_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zobench_encoders.vit_mae as bundled

    package = Path(bundled.__file__).parent
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / bundled.WEIGHTS
    whole = (package / "weights" / bundled.WEIGHTS).read_bytes()
    monkeypatch.setattr(bundled, "files", lambda name: tmp_path)
    for seed in range(TRIES or 10):
        weights.write_bytes(whole)
        done = damage(tmp_path / "weights", [bundled.WEIGHTS], random.Random(seed))
        with pytest.raises(ZobenchError, match=r"weights .* are damaged: reinstall zobench"):
            bundled._bundled(bundled.WEIGHTS, bundled.WEIGHTS_DIGEST)
        assert done.name == bundled.WEIGHTS
