"""The three phases of a run, one function each: prepare, optimize, score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.listener import Listener
from zobench.contracts.metric import Predictions
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import seed_sequence
from zobench.errors import Interrupted
from zobench.measures.edit_score import EditScore
from zobench.measures.group_rates import accuracy, count_groups, gap
from zobench.measures.patient_bootstrap import ScoredImages
from zobench.measures.recovery import recovery
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.objective import Objective
from zobench.oracle.oracle import Oracle, Recorder
from zobench.problem.heads import Head
from zobench.problem.images import Images, load_images
from zobench.records.checkpoint import Checkpoint
from zobench.records.run_folder import RunFolder, StoredScores, StoredSetup

from .loop import Loop, snapshot_schedule
from .parts import Parts
from .scoring import Scorer
from .shared_results import SharedResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stopped = Callable[[], bool]
"""Whether the user asked to stop."""


@dataclass(frozen=True)
class Prepared:
    """The images, clean embeddings and SA head that the objective and the scores are computed from.

    Attributes:
        train: Training images; heads are fitted on them, and minibatches are drawn from them.
        test: Test images; metrics are computed on them.
        clean: Embeddings ``(N, D)`` of ``train`` without an edit.
        head: The SA head g.
    """

    train: Images
    test: Images
    clean: NDArray[np.float32]
    head: Head


def prepare(
    parts: Parts,
    encoder: MeteredEncoder,
    folder: RunFolder,
    shared: SharedResults,
    listener: Listener,
    stopped: Stopped,
) -> Prepared:
    """Loads the images, embeds the clean training images, and fits the SA head.

    Args:
        parts: Everything that the config names.
        encoder: The encoder, metered.
        folder: The run folder; embeddings that an earlier process stored there are read.
        shared: Computes shared results, or takes them over from other runs.
        listener: Receives the progress.
        stopped: Whether the user asked to stop; called after each block of images.

    Raises:
        Interrupted: The user asked to stop.
    """
    train, test = _load(parts, listener, stopped)
    clean = _clean_embeddings(train, encoder, folder, shared, listener, stopped)
    config = parts.config
    head = shared.sensitive_head(train, clean, config.heads, config.seed)
    return Prepared(train, test, clean, head)


def _load(parts: Parts, listener: Listener, stopped: Stopped) -> tuple[Images, Images]:
    split = parts.split
    rows = np.concatenate([split.train, split.test])
    listener.phase("prepare images", len(rows))
    images = load_images(parts.dataset, rows, _reporting(listener, stopped))
    cut = len(split.train)
    return images.part(slice(0, cut)), images.part(slice(cut, len(rows)))


def _clean_embeddings(
    train: Images,
    encoder: MeteredEncoder,
    folder: RunFolder,
    shared: SharedResults,
    listener: Listener,
    stopped: Stopped,
) -> NDArray[np.float32]:
    stored = folder.setup()
    if stored is not None:
        encoder.ledger.put(Purpose.SETUP, stored.counts)
        encoder.seconds += stored.encoder_seconds
        return stored.clean

    def begin() -> None:
        listener.phase("embed clean images", len(train))

    clean = shared.clean_embeddings(encoder, train, begin, _reporting(listener, stopped))
    folder.write_setup(StoredSetup(clean, asdict(encoder.ledger.setup), encoder.seconds))
    encoder.settle()
    return clean


def optimize(
    parts: Parts,
    prepared: Prepared,
    encoder: MeteredEncoder,
    folder: RunFolder,
    listener: Listener,
    *,
    clock: Callable[[], float],
    stopped: Stopped,
    checkpoint: Checkpoint | None = None,
    recorder: Recorder | None = None,
) -> str:
    """Runs the optimizer until it reaches a limit, from a checkpoint or from the beginning.

    Args:
        parts: Everything that the config names.
        prepared: Images, clean embeddings and SA head.
        encoder: The encoder, metered.
        folder: Stores the trace, the snapshots and the checkpoints.
        listener: Receives the progress.
        clock: Returns the run's wall time so far in seconds.
        stopped: Whether the user asked to stop; called between two asks.
        checkpoint: The checkpoint to resume from; ``None`` to start at the beginning.
        recorder: Stores all answers of the oracle; ``None`` to store none.

    Returns:
        The limit that ended the optimizer: ``budget`` or ``max_cost``.

    Raises:
        Interrupted: The user asked to stop; the state is saved.
    """
    config = parts.config
    objective = Objective(
        images=prepared.train,
        encoder=encoder,
        head=prepared.head,
        penalty=config.penalty,
        batch_size=config.batch_size,
        entropy=seed_sequence(config.seed, "minibatch"),
    )
    level = parts.optimizer.feedback
    oracle = Oracle(objective, parts.space, config.budget, level, recorder, config.optimizer)
    due = snapshot_schedule(config.batch_size, config.budget, config.snapshots)
    loop = Loop(parts.optimizer, oracle, folder, due, listener, clock, stopped)
    return loop.run(checkpoint)


def score(
    parts: Parts,
    prepared: Prepared,
    encoder: MeteredEncoder,
    folder: RunFolder,
    shared: SharedResults,
    listener: Listener,
    stopped: Stopped,
) -> None:
    """Scores ERM and each snapshot without a stored score, and stores each new score at once.

    Args:
        parts: Everything that the config names.
        prepared: Images, clean embeddings and SA head.
        encoder: The encoder, metered.
        folder: The run folder; holds the snapshots and stores the scores.
        shared: Computes shared results, or takes them over from other runs.
        listener: Receives the progress.
        stopped: Whether the user asked to stop; called after each block of images.

    Raises:
        Interrupted: The user asked to stop.
    """
    import torch

    config, queries = parts.config, folder.snapshots()
    scorer = Scorer(
        prepared.train,
        prepared.test,
        encoder,
        prepared.head,
        config.penalty,
        config.heads,
        config.seed,
    )
    labels = ScoredImages(scorer.test.patient, scorer.test.label, scorer.test.sensitive)
    seconds_before, before = encoder.seconds, folder.scores()
    scores = list(before.edits) if before is not None else []
    if before is not None:
        encoder.ledger.put(Purpose.SCORE, before.counts)
        encoder.seconds += before.encoder_seconds
    test, train = len(scorer.test), len(scorer.train)
    scored = {each.queries: each for each in scores}
    images = sum(test + (train if number else 0) for number in scored)
    listener.phase("score", (test + train) * len(queries) + test)
    by_content: dict[bytes, EditScore] = {}
    for number in [0, *queries]:
        shape = (1, *parts.encoder.spec.image_shape[1:])
        edit = folder.edit(number) if number else torch.zeros(shape, dtype=torch.float32)
        content = edit.numpy().tobytes()
        if number in scored:
            by_content[content] = scored[number]
            continue
        report = _reporting(listener, stopped, images)
        if not number:
            by_content[content] = shared.erm_score(encoder, scorer, edit, prepared.clean, report)
        elif content not in by_content:  # equal edits are embedded only once
            by_content[content] = scorer.score(edit, number, progress=report)
        scores.append(replace(by_content[content], queries=number))
        images += test + (train if number else 0)
        counts, seconds = asdict(encoder.ledger.score), encoder.seconds - seconds_before
        folder.write_scores(StoredScores(scores, labels, counts, seconds))
        encoder.settle()
        listener.update(images, **_figures(scores, labels, config.tolerance))


def _reporting(
    listener: Listener, stopped: Stopped, already: int = 0
) -> Callable[[int, int], None]:
    """A progress callback that raises ``Interrupted`` if the user asked to stop."""

    def report(done: int, total: int) -> None:
        listener.update(already + done)
        if stopped():
            raise Interrupted("stopped on request")

    return report


def _figures(scores: list[EditScore], test: ScoredImages, tolerance: float) -> dict[str, float]:
    """Objective and recovery of the last scored edit, for the progress display."""
    predictions = [
        Predictions(np.asarray(each.score), test.label, test.sensitive)
        for each in (scores[0], scores[-1])
    ]
    erm, last = count_groups(predictions, np.ones((1, len(test.label))))
    found = recovery(gap(erm), gap(last), accuracy(erm), accuracy(last), tolerance)
    return {"objective": scores[-1].objective, "recovery": float(found[0])}
