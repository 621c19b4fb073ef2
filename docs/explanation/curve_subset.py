"""Measures the error of FPQ: five snapshots on all images, or all snapshots on a subset.

    python docs/explanation/curve_subset.py runs/curve

Each run's snapshots are embedded once with all images; both ways of scoring are then computed from
the same embeddings, and compared with all snapshots on all images.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import zobench
from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.measures.patient_bootstrap import ScoredImages, bootstrap_weights
from zobench.measures.recovery import fairness_per_query
from zobench.measures.resampling import Resamples
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import fit_head
from zobench.problem.images import load_images
from zobench.problem.subset import nested_subset
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry
from zobench.runs.loop import snapshot_schedule
from zobench.runs.parts import make_parts
from zobench.runs.score_plan import ENDS, WHOLE

RUNS = (
    ("kalman", "pixel"),
    ("scattered-probes", "pixel"),
    ("pgd", "pixel"),
    ("sep-cma", "dct:12"),
)
BUDGET, REPLICATES, FEW = 12_800, 500, 5


@dataclass(frozen=True)
class Curve:
    """FPQ of one way of scoring: its value, and its standard error over patients."""

    fpq: float
    error: float
    images: int


def study(run: StoredRun) -> tuple[int, dict[str, Curve]]:
    """The number of distinct edits, and FPQ by each way of scoring."""
    config = run.config
    parts = make_parts(config, load_registry(), Silence())
    train, test = (
        load_images(parts.dataset, rows) for rows in (parts.split.train, parts.split.test)
    )
    encoder = MeteredEncoder(parts.encoder, Ledger())
    queries = run.snapshots
    edits = [torch.zeros(1, *parts.encoder.spec.image_shape[1:]), *map(run.edit, queries)]
    share = min(1.0, (WHOLE - ENDS) / max(1, len(queries) - 1))
    rng = generator(config.seed, "subset")
    rows = [nested_subset(each, share, rng) for each in (train, test)]
    whole, part = [], []
    for edit in edits:
        fit, predict = (embed_images(encoder, each, Purpose.SCORE, edit) for each in (train, test))
        whole.append(head_scores(config, fit, train.label, predict))
        part.append(head_scores(config, fit[rows[0]], train.label[rows[0]], predict[rows[1]]))
    labels = ScoredImages(test.patient, test.label, test.sensitive)
    weights = bootstrap_weights(labels, config.seed, REPLICATES)
    piece = ScoredImages(*(column[rows[1]] for column in vars(labels).values()))
    due = snapshot_schedule(config.batch_size, config.budget, FEW)
    few = sorted(
        {next((k for k, q in enumerate(queries, 1) if q >= each), len(queries)) for each in due}
    )
    images, small = len(train) + len(test), len(rows[0]) + len(rows[1])
    everything = list(range(1, len(edits)))
    ends = ENDS * images if share < 1 else 0
    return len(queries), {
        "all": curve(config, whole, labels, weights, everything, queries, images * len(queries)),
        "five": curve(config, whole, labels, weights, few, queries, images * len(few)),
        "subset": curve(
            config,
            part,
            piece,
            weights[:, rows[1]],
            everything,
            queries,
            ends + small * (len(queries) - 1),
        ),
    }


def head_scores(
    config: RunConfig, fit: np.ndarray, label: np.ndarray, predict: np.ndarray
) -> np.ndarray:
    """Scores of test images by a disease head."""
    rng = generator(config.seed, "heads")
    head = fit_head(fit, label, protocol=config.heads, role="disease", rng=rng)
    return head.score(predict)


def curve(
    config: RunConfig,
    scores: list[np.ndarray],
    test: ScoredImages,
    weights: np.ndarray,
    chosen: list[int],
    queries: list[int],
    images: int,
) -> Curve:
    """FPQ of some of the snapshots."""
    found = Resamples(
        [scores[0], *(scores[k] for k in chosen)], test, lambda: weights, config.tolerance
    )
    stops = [queries[k - 1] for k in chosen]
    fpq = fairness_per_query(stops, found.recovery[1:], config.batch_size, config.budget)
    return Curve(float(fpq[0]), float(fpq[1:].std()), images)


def main() -> None:
    """Runs what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    wanted = parser.parse_args()
    print("| run | edits | all on all | five on all | all on a subset | images: five, subset |")
    print("| --- " * 6 + "|")
    errors: dict[str, list[float]] = {"five": [], "subset": []}
    spreads: dict[str, list[float]] = {"all": [], "five": [], "subset": []}
    for seed in range(wanted.seeds):
        for optimizer, space in RUNS:
            place = wanted.out / f"{optimizer}-{seed}"
            done = [path.parent for path in place.glob("*/manifest.json")]
            run = (
                zobench.show(done[0])
                if done
                else zobench.run(
                    optimizer=optimizer,
                    space=space,
                    seed=seed,
                    budget=BUDGET,
                    controls="none",
                    baselines="",
                    out=place,
                )
            )
            count, found = study(run)
            for name, values in errors.items():
                values.append(found[name].fpq - found["all"].fpq)
            for name, values in spreads.items():
                values.append(found[name].error)
            cells = [
                f"{found[name].fpq:.3f} ± {found[name].error:.3f}".replace("-", "\N{MINUS SIGN}")
                for name in ("all", "five", "subset")
            ]
            images = f"{found['five'].images:,}, {found['subset'].images:,}"
            print(
                f"| {optimizer}, seed {seed} | {count} | {' | '.join(cells)} | {images} |",
                flush=True,
            )
    for name, values in errors.items():
        mean, size = float(np.mean(values)), float(np.sqrt(np.mean(np.square(values))))
        patients = float(np.sqrt(np.mean(np.square(spreads[name]))))
        print(f"{name}: bias {mean:+.3f}, root mean square {size:.3f}, patients {patients:.3f}")
    print(f"all: patients {np.sqrt(np.mean(np.square(spreads['all']))):.3f}", file=sys.stdout)


if __name__ == "__main__":
    main()
