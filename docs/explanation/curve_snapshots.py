"""Measures the error of fairness per query where only some of the snapshots are scored.

    python docs/explanation/curve_snapshots.py runs/curve

All distinct edits of each run are embedded once, with all images. Every way of scoring is then
computed from the same embeddings and compared with the scores of all snapshots on all images. Runs
that are done and embeddings that are kept are only read, so it may be stopped at any time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import zobench
from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.contracts.metric import GroupCounts, Predictions
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.measures.curve import interpolated, positions
from zobench.measures.group_rates import accuracy, count_groups, signed_gap
from zobench.measures.patient_bootstrap import ScoredImages, bootstrap_weights
from zobench.measures.recovery import Recoveries, fairness_per_query
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import fit_head
from zobench.problem.images import load_images
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import load_registry
from zobench.runs.loop import snapshot_schedule
from zobench.runs.parts import make_parts
from zobench.runs.score_plan import ScorePlan, score_plan

OPTIMIZERS = {
    "kalman": "pixel",
    "sep-cma": "dct:12",
    "gezo": "pixel",
    "patch-search": "pixel",
    "scattered-probes": "pixel",
    "adam": "pixel",
    "pgd": "pixel",
}
"""The optimizers and their spaces."""

SEEDS = {100: 900, 101: 901}
"""Seeds and cohorts of phantom patients; none is used elsewhere in the documents."""

BUDGET, SNAPSHOTS, FEW, REPLICATES = 12_800, 25, 5, 500
Rows = np.ndarray
"""Numbers of images."""

WAYS = ("all", "five log-spaced", "five chosen", "all on a subset")


@dataclass(frozen=True)
class Embedded:
    """A run whose distinct edits are embedded with all images.

    Attributes:
        config: The config of the run.
        plan: The edit of each snapshot.
        train: Embeddings of the training images by the query count of the edit; 0 is ERM.
        test: Embeddings of the test images.
        labels: Disease of the training images.
        sensitive: Sensitive attribute of the training images.
        scored: Labels of the test images.
    """

    config: RunConfig
    plan: ScorePlan
    train: Mapping[int, np.ndarray]
    test: Mapping[int, np.ndarray]
    labels: np.ndarray
    sensitive: np.ndarray
    scored: ScoredImages

    def counts(self, edit: int, weights: np.ndarray, fit: Rows, predict: Rows) -> GroupCounts:
        """Group counts of a disease head that is fitted and tested on some of the images."""
        rng = generator(self.config.seed, "heads")
        head = fit_head(
            self.train[edit][fit],
            self.labels[fit],
            protocol=self.config.heads,
            role="disease",
            rng=rng,
        )
        test = self.scored
        score = head.score(self.test[edit][predict])
        answer = Predictions(score, test.label[predict], test.sensitive[predict])
        return count_groups([answer], weights[:, predict])[0]


@dataclass(frozen=True)
class Scored:
    """FPQ of one way of scoring: its value, its standard error over patients, images embedded."""

    fpq: float
    error: float
    images: int


def embedded(place: Path, optimizer: str, seed: int) -> Embedded:
    """The run and its embeddings, from disk where they are kept."""
    done = [path.parent for path in place.glob("*/manifest.json")]
    run = zobench.resume(done[0]) if done else begin(place, optimizer, seed)
    config = run.config
    parts = make_parts(config, load_registry(), Silence())
    train, test = (
        load_images(parts.dataset, rows) for rows in (parts.split.train, parts.split.test)
    )
    encoder = MeteredEncoder(parts.encoder, Ledger())
    zero = torch.zeros(1, *parts.encoder.spec.image_shape[1:])
    contents = {queries: run.edit_after(queries).numpy().tobytes() for queries in run.snapshots}
    plan = score_plan(contents, zero.numpy().tobytes(), config)
    kept = place / "embeddings.npz"
    if not kept.exists():
        arrays = {}
        for queries in (0, *plan.distinct):
            edit = run.edit_after(queries) if queries else zero
            arrays[f"train {queries}"] = embed_images(encoder, train, Purpose.SCORE, edit)
            arrays[f"test {queries}"] = embed_images(encoder, test, Purpose.SCORE, edit)
        np.savez(kept, **arrays)
    with np.load(kept, allow_pickle=False) as stored:
        embeddings = {
            part: {queries: stored[f"{part} {queries}"] for queries in (0, *plan.distinct)}
            for part in ("train", "test")
        }
    scored = ScoredImages(test.patient, test.label, test.sensitive)
    return Embedded(
        config, plan, embeddings["train"], embeddings["test"], train.label, train.sensitive, scored
    )


def begin(place: Path, optimizer: str, seed: int) -> StoredRun:
    """Carries out a run whose edits are scored later, here."""
    return zobench.run(
        optimizer=optimizer,
        space=OPTIMIZERS[optimizer],
        seed=seed,
        budget=BUDGET,
        snapshots=SNAPSHOTS,
        scored=1,
        controls="none",
        baselines="",
        overrides={"dataset": {"cohort": SEEDS[seed]}},
        out=place,
    )


def study(run: Embedded) -> dict[str, Scored]:
    """FPQ by each way of scoring."""
    weights = bootstrap_weights(run.scored, run.config.seed, REPLICATES)
    fit, predict = np.arange(len(run.labels)), np.arange(len(run.scored.label))
    whole = {queries: run.counts(queries, weights, fit, predict) for queries in run.train}
    images = len(fit) + len(predict)
    snapshots = sorted(run.plan.edits)
    due = snapshot_schedule(run.config.batch_size, BUDGET, FEW)
    few = sorted({next((q for q in snapshots if q >= wanted), snapshots[-1]) for wanted in due})
    plan, chosen = replace(run.plan, scored=FEW), {0: (0.0, 0.0)}
    while (queries := plan.following(chosen)) is not None:
        rows = Recoveries.of_counts([whole[0], whole[queries]], run.config.tolerance)
        chosen[queries] = (float(rows.recovery[1, 0]), float(rows.gap_recovery[1, 0]))
    share = (FEW - 1) / (SNAPSHOTS - 1)
    rng = generator(run.config.seed, "subset")
    part = [
        subset(run.labels, run.sensitive, share, rng),
        subset(run.scored.label, run.scored.sensitive, share, rng),
    ]
    pieces = {queries: run.counts(queries, weights, *part) for queries in run.train}
    small = len(part[0]) + len(part[1])
    others = len(run.plan.distinct)
    return {
        "all": curve(run, whole, snapshots, images * others),
        "five log-spaced": curve(run, whole, few, images * len({run.plan.edits[q] for q in few})),
        "five chosen": curve(
            run,
            {queries: whole[queries] for queries in chosen},
            snapshots,
            images * (len(chosen) - 1),
        ),
        "all on a subset": curve(run, pieces, snapshots, images + small * max(0, others - 1)),
    }


def subset(label: Rows, sensitive: Rows, share: float, rng: np.random.Generator) -> Rows:
    """A share of the images of each cell of (y, a)."""
    cells = 2 * label + sensitive
    drawn = [rng.permutation(np.flatnonzero(cells == cell)) for cell in np.unique(cells)]
    return np.sort(np.concatenate([rows[: max(1, round(share * len(rows)))] for rows in drawn]))


def curve(
    run: Embedded, counts: Mapping[int, GroupCounts], snapshots: Sequence[int], images: int
) -> Scored:
    """FPQ of some of the snapshots; edits without counts are interpolated."""
    places = positions([0, *snapshots], run.config.batch_size)
    given = [counts[0], *(counts.get(run.plan.edits[queries]) for queries in snapshots)]
    gaps, accuracies = (
        interpolated(places, [None if one is None else quantity(one) for one in given])
        for quantity in (signed_gap, accuracy)
    )
    recoveries = Recoveries.of(gaps, accuracies, run.config.tolerance).recovery[1:]
    fpq = fairness_per_query(list(snapshots), recoveries, run.config.batch_size, BUDGET)
    return Scored(float(fpq[0]), float(fpq[1:].std()), images)


def signed(value: float) -> str:
    """A number with its sign and three digits."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def main() -> None:
    """Runs and embeds what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    wanted = parser.parse_args()
    print("| run | edits | " + " | ".join(WAYS) + " |\n" + "| --- " * 6 + "|")
    everything: list[dict[str, Scored]] = []
    for seed in list(SEEDS)[: wanted.seeds]:
        for optimizer in OPTIMIZERS:
            run = embedded(wanted.out / f"{optimizer}-{seed}", optimizer, seed)
            result = study(run)
            everything.append(result)
            truth = result["all"]
            cells = [f"{truth.fpq:.3f} ± {truth.error:.3f}".replace("-", "\N{MINUS SIGN}")]
            cells += [signed(result[way].fpq - truth.fpq) for way in WAYS[1:]]
            count = len(run.plan.distinct)
            print(f"| `{optimizer}`, seed {seed} | {count} | {' | '.join(cells)} |", flush=True)
    for way in WAYS:
        errors = [ways[way].fpq - ways["all"].fpq for ways in everything]
        spread = np.sqrt(np.mean([ways[way].error ** 2 for ways in everything]))
        images = max(ways[way].images for ways in everything)
        size = float(np.sqrt(np.mean(np.square(errors))))
        print(
            f"{way}: mean error {signed(float(np.mean(errors)))}, root mean square {size:.3f}, largest "
            f"{np.abs(errors).max():.3f}; standard error over patients {spread:.3f}; at most "
            f"{images:,} images"
        )


if __name__ == "__main__":
    main()
