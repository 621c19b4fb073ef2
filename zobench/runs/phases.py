"""The first two phases of a run, one function each: prepare and optimize.

The third one is :mod:`zobench.runs.score_run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.listener import Listener
from zobench.contracts.purpose import Purpose
from zobench.errors import ConfigError, Interrupted
from zobench.oracle.local_images import LocalImages
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import Oracle, Recorder
from zobench.problem.images import Images, load_images
from zobench.records.checkpoint import Checkpoint
from zobench.records.run_folder import RunFolder
from zobench.records.stored_numbers import StoredSetup

from .coinciding import require_distinct
from .loop import Loop, snapshot_schedule
from .parts import Parts
from .result_cache import digest
from .search_parts import TrainingData, make_client, make_evaluator, make_optimizer
from .shared_results import SharedResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stopped = Callable[[], bool]
"""Whether the user asked to stop."""


@dataclass(frozen=True)
class Prepared:
    """The images, clean embeddings and SA head that the objective and the scores are computed from.

    Attributes:
        training: The training images with their clean embeddings and the SA head g.
        test: Test images; metrics are computed on them.
    """

    training: TrainingData
    test: Images


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
        ConfigError: The images are not those that the run began with.
        EncoderError: The encoder gives different images the same embedding.
        Interrupted: The user asked to stop.
    """
    train, test, pixels = _load(parts, listener, stopped)
    if len(names := parts.dataset.records.image):
        folder.write_images(names[parts.split.train].tolist(), names[parts.split.test].tolist())
    clean = _clean_embeddings(train, pixels, encoder, folder, shared, listener, stopped)
    require_distinct(encoder.spec, train, clean)
    config = parts.config
    head = shared.sensitive_head(train, clean, config.heads, config.seed)
    return Prepared(TrainingData(train, clean, head), test)


def require_same_pixels(
    parts: Parts, folder: RunFolder, listener: Listener, stopped: Stopped
) -> None:
    """Loads the images to see whether they are those of a run, before anything of it is changed.

    Raises:
        ConfigError: They are not.
        Interrupted: The user asked to stop.
    """
    stored = folder.setup()
    if stored is not None and stored.images:
        _, _, pixels = _load(parts, listener, stopped)
        _require_same(pixels, stored, folder)


def _require_same(pixels: str, stored: StoredSetup, folder: RunFolder) -> None:
    if stored.images not in ("", pixels):
        raise ConfigError(
            f"the pixels of the images are not what they were when {folder.location} began; restore the "
            "files to resume, or start a new run"
        )


def _load(parts: Parts, listener: Listener, stopped: Stopped) -> tuple[Images, Images, str]:
    """Training images, test images, and the digest of their pixels.

    The digest of generated images is empty: they may differ by a rounding between machines.
    """
    split = parts.split
    rows = np.concatenate([split.train, split.test])
    listener.phase("prepare images", len(rows))
    images = load_images(parts.dataset, rows, _reporting(listener, stopped))
    cut = len(split.train)
    train, test = images.part(slice(0, cut)), images.part(slice(cut, len(rows)))
    pixels = "" if parts.dataset.spec.generated else digest("images", train.pixels, test.pixels)
    return train, test, pixels


def _clean_embeddings(
    train: Images,
    pixels: str,
    encoder: MeteredEncoder,
    folder: RunFolder,
    shared: SharedResults,
    listener: Listener,
    stopped: Stopped,
) -> NDArray[np.float32]:
    stored = folder.setup()
    if stored is not None:
        _require_same(pixels, stored, folder)
        encoder.ledger.put(Purpose.SETUP, stored.counts)
        encoder.seconds += stored.encoder_seconds
        return stored.clean

    def begin() -> None:
        listener.phase("embed clean images", len(train))

    clean = shared.clean_embeddings(encoder, train, begin, _reporting(listener, stopped))
    folder.write_setup(StoredSetup(clean, asdict(encoder.ledger.setup), encoder.seconds, pixels))
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
    reached: Callable[[], bool] | None = None,
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
        reached: See :class:`zobench.runs.loop.Loop`.

    Returns:
        The limit that ended the optimizer: ``budget``, ``max_cost``, ``max_time`` or ``until``.

    Raises:
        Interrupted: The user asked to stop; the state is saved.
    """
    config, level = parts.config, parts.feedback
    evaluator = make_evaluator(config, parts.resolved.objective, prepared.training, encoder)
    client = None if level == "value" else make_client(evaluator, prepared.training)
    local = None if parts.local is None else LocalImages(parts.local, encoder.ledger)
    optimizer = make_optimizer(config, parts.resolved.optimizer, parts.space, client, local)
    oracle = Oracle(evaluator, parts.space, config.budget, level, recorder, config.optimizer)
    due = snapshot_schedule(config.batch_size, config.budget, config.snapshots)
    limit = config.max_time or math.inf
    limits = {name: getattr(config, name) for name in ("budget", "max_cost", "max_time", "until")}
    loop = Loop(optimizer, oracle, folder, due, listener, clock, stopped, limit, reached, limits)
    return loop.run(checkpoint)


def _reporting(
    listener: Listener, stopped: Stopped, already: int = 0
) -> Callable[[int, int], None]:
    """A progress callback that raises ``Interrupted`` if the user asked to stop."""

    def report(done: int, total: int) -> None:
        listener.update(already + done)
        if stopped():
            raise Interrupted("stopped on request")

    return report
