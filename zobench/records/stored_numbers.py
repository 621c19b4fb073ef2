"""The numbers in a run folder: edits, clean embeddings, scores; for each its writer and its reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.files.atomic import damage, missing
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.measures.edit_score import EditScore
from zobench.measures.patient_bootstrap import ScoredImages

from . import layout

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StoredSetup:
    """The embeddings of the clean training images, computed once per run.

    Attributes:
        clean: The embeddings, ``(N, D)`` float32.
        counts: The ledger's counts of ``setup``.
        encoder_seconds: Time spent in the encoder.
        images: Digest of the pixels of all images of the run; empty in runs of before there was one.
    """

    clean: NDArray[np.float32]
    counts: Mapping[str, int]
    encoder_seconds: float
    images: str = ""


@dataclass(frozen=True)
class StoredScores:
    """The scores of the edits so far.

    Attributes:
        edits: The scores of ERM, then of the scored edits by increasing queries.
        equal: For each snapshot, the query count of the first snapshot with an equal edit; 0 for
            the zero edit.
        test: Labels of the test images.
        counts: The ledger's counts of ``score``.
        encoder_seconds: Time spent in the encoder.
        baselines: The test images' scores by each no-query baseline.
        combined: The scores by the last edit together with reweighing; ``None`` if not computed.
        controls: The scores of the last edit's placebo and negative.
        all_controls: With ``--controls all``, the scores of the controls of every scored edit.
        last: Query count of the edit that ``combined`` and ``controls`` belong to.
    """

    edits: Sequence[EditScore]
    equal: Mapping[int, int]
    test: ScoredImages
    counts: Mapping[str, int]
    encoder_seconds: float
    baselines: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    combined: tuple[float, ...] | None = None
    controls: Mapping[str, EditScore] = field(default_factory=dict)
    all_controls: Mapping[str, tuple[EditScore, ...]] = field(default_factory=dict)
    last: int = 0


def write_edit(folder: Location, queries: int, edit: Tensor) -> Location:
    """Writes the edit ``(1, H, W)`` recommended after ``queries``; returns the place of the file."""
    place = folder / layout.snapshot_name(queries)
    write_tensors(place, {"edit": edit})
    return place


def read_edit(folder: Location, queries: int) -> Tensor:
    """The edit ``(1, H, W)`` recommended after ``queries``.

    Raises:
        DamagedError: The snapshot is missing or damaged.
        StoreError: The snapshot cannot be read.
    """
    place = folder / layout.snapshot_name(queries)
    if not place.path.exists():
        raise missing(place)
    tensors, _ = read_tensors(place)
    with damage(place):
        return tensors["edit"]


def write_setup(folder: Location, setup: StoredSetup) -> None:
    """Writes the clean embeddings of a run."""
    import torch

    notes = {
        "counts": dict(setup.counts),
        "encoder_seconds": setup.encoder_seconds,
        "images": setup.images,
    }
    write_tensors(folder / layout.SETUP, {"clean": torch.from_numpy(setup.clean)}, notes)


def read_setup(folder: Location) -> StoredSetup | None:
    """The clean embeddings of a run; ``None`` if they were not computed.

    Raises:
        DamagedError: The file is damaged.
        StoreError: The file cannot be read.
    """
    place = folder / layout.SETUP
    if not place.path.exists():
        return None
    tensors, notes = read_tensors(place)
    with damage(place):
        return StoredSetup(
            tensors["clean"].numpy(),
            notes["counts"],
            notes["encoder_seconds"],
            notes.get("images", ""),
        )


def write_scores(folder: Location, scores: StoredScores) -> None:
    """Replaces the scores of a run."""
    content = {
        **vars(scores),
        "edits": [edit.as_json() for edit in scores.edits],
        "controls": {name: edit.as_json() for name, edit in scores.controls.items()},
        "all_controls": {
            name: [edit.as_json() for edit in edits] for name, edits in scores.all_controls.items()
        },
        "equal": {str(snapshot): first for snapshot, first in scores.equal.items()},
        "test": {name: column.tolist() for name, column in vars(scores.test).items()},
    }
    write_json(folder / layout.SCORES, content, one_line_each=True)


def read_scores(folder: Location) -> StoredScores | None:
    """The scores of a run so far; ``None`` before the first one.

    Raises:
        DamagedError: The file is damaged.
        StoreError: The file cannot be read.
    """
    place = folder / layout.SCORES
    if not place.path.exists():
        return None
    content = read_json(place)
    with damage(place):
        test = {name: np.asarray(value, dtype=np.int64) for name, value in content["test"].items()}
        combined = content["combined"]
        return StoredScores(
            edits=[EditScore.from_json(row) for row in content["edits"]],
            equal={int(queries): first for queries, first in content["equal"].items()},
            test=ScoredImages(**test),
            counts=content["counts"],
            encoder_seconds=content["encoder_seconds"],
            baselines={name: tuple(scores) for name, scores in content["baselines"].items()},
            combined=None if combined is None else tuple(combined),
            controls={name: EditScore.from_json(row) for name, row in content["controls"].items()},
            all_controls={
                name: tuple(map(EditScore.from_json, rows))
                for name, rows in content["all_controls"].items()
            },
            last=content.get("last", 0),
        )
