"""What a run found, as typed objects and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from zobench.billing.bill import Bill, read_bill
from zobench.config import RunConfig, config_from_json
from zobench.files import files
from zobench.measures.group_rates import METRICS
from zobench.measures.resampling import Estimate, Resamples, Score, resample, summarise
from zobench.oracle.ledger import Counts, Ledger
from zobench.runs.scoring import Raw, raw_from_json

from . import run_folder as store


@dataclass(frozen=True)
class RunResult:
    """A run as read from its folder.

    Attributes:
        run_id: Name of the folder.
        run_dir: The folder.
        status: ``running``, ``interrupted``, ``failed`` or ``done``.
        config: What was asked for.
        ledger: Counts by purpose.
        scores: ERM first, then the snapshots by increasing queries; empty before scoring.
        fpq: Fairness per query; ``None`` before everything is scored.
        wall_seconds: Time spent in all.
        encoder_seconds: Time spent inside the encoder.
        bill: What a rented encoder was asked and may charge for; ``None`` for one that runs here.
        manifest: Everything else that was recorded.
    """

    run_id: str
    run_dir: Path
    status: str
    config: RunConfig
    ledger: Mapping[str, Mapping[str, int]]
    scores: tuple[Score, ...]
    fpq: Estimate | None
    wall_seconds: float
    encoder_seconds: float
    bill: Bill | None
    manifest: Mapping[str, Any]

    @property
    def recovery(self) -> float | None:
        """Recovery of the last scored snapshot; ``None`` before one is scored."""
        return self.scores[-1].recovery.value if len(self.scores) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; an infinite ratio becomes ``null``."""
        return {
            "run_id": self.run_id,
            "run_dir": str(self.run_dir),
            "status": self.status,
            "config": self.config.as_dict(),
            "ledger": self.ledger,
            "scores": [_score_dict(score) for score in self.scores],
            "recovery": self.recovery,
            "fpq": _estimate_dict(self.fpq) if self.fpq is not None else None,
            "bill": self.bill.as_dict() if self.bill is not None else None,
            "wall_seconds": self.wall_seconds,
            "encoder_seconds": self.encoder_seconds,
        }


def read_result(folder: Path) -> RunResult:
    """Reads a run folder, finished or not.

    Raises:
        StoreError: It is no run folder, is damaged, or was written by a newer zobench.
    """
    manifest = store.read_whole_manifest(folder)
    config = config_from_json(manifest["config"])
    raws, test = read_scores(folder)
    scores: tuple[Score, ...] = ()
    fpq = None
    if raws:
        summary = summarise(raws, resampled(raws, test, config, config.replicates))
        scores, fpq = summary.scores, summary.fpq if manifest["status"] == "done" else None
    return RunResult(
        run_id=folder.name,
        run_dir=folder,
        status=manifest["status"],
        config=config,
        ledger=stored_ledger(folder, manifest, config),
        scores=scores,
        fpq=fpq,
        wall_seconds=manifest.get("wall_seconds", 0.0),
        encoder_seconds=manifest.get("encoder_seconds", 0.0),
        bill=read_bill(folder, manifest["encoder"].get("price", 0.0)),
        manifest=manifest,
    )


def resampled(
    raws: list[Raw],
    test: Mapping[str, list[int]],
    config: RunConfig,
    replicates: int,
    auc: bool = True,
) -> Resamples:
    """What was scored, on the test patients and on resamples of them."""
    return resample(
        raws,
        np.asarray(test["patient"]),
        np.asarray(test["label"]),
        np.asarray(test["sensitive"]),
        seed=config.seed,
        replicates=replicates,
        tolerance=config.tolerance,
        first=config.batch_size,
        budget=config.budget,
        auc=auc,
    )


def stored_ledger(
    folder: Path, manifest: Mapping[str, Any], config: RunConfig
) -> Mapping[str, Mapping[str, int]]:
    """The ledger of a run; where it has not ended, from what lies in its folder."""
    if manifest["status"] == "done":
        recorded: Mapping[str, Mapping[str, int]] = manifest["ledger"]
        return recorded
    ledger = Ledger(config.backward_cost)
    if (folder / store.SETUP).exists():
        ledger.setup = Counts(**files.read_tensors(folder / store.SETUP)[1]["counts"])
    rows = files.read_rows(folder / store.TRACE)
    if rows:
        ledger.optimize = Counts(**{each.name: rows[-1][each.name] for each in fields(Counts)})
    if (folder / store.SCORES).exists():
        ledger.score = Counts(**files.read_json(folder / store.SCORES)["counts"])
    return ledger.as_dict()


def read_scores(folder: Path) -> tuple[list[Raw], dict[str, list[int]]]:
    """What scoring found so far, and the columns of the test images it is about."""
    path = folder / store.SCORES
    if not path.exists():
        return [], {}
    found = files.read_json(path)
    return [raw_from_json(row) for row in found["edits"]], found["test"]


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "queries": score.queries,
        "objective": score.objective,
        "norm": score.norm,
        "sa_frozen": score.sa_frozen,
        "sa_refitted": score.sa_refitted,
        **{name: _estimate_dict(score.metrics[name]) for name in METRICS},
        "recovery": _estimate_dict(score.recovery),
        **({"sent": asdict(score.sent)} if score.sent is not None else {}),
    }


def _estimate_dict(estimate: Estimate) -> dict[str, float | None]:
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
