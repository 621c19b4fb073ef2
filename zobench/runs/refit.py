"""The linear heads of a stored run, fitted once more: the run folder holds no heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zobench.billing.account import close_and_tell
from zobench.contracts.listener import Listener
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import generator
from zobench.errors import ConfigError, EncoderError
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import Head, fit_head, fit_sensitive_head
from zobench.problem.images import load_images
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .parts import make_parts
from .resolved import of_a_stored_run, resolve_config
from .resuming import check_same

CHECKED = 32
"""Test images whose scores are compared with the stored ones."""
TOLERANCE = 1e-3
"""Largest difference of a score, relative to the largest, that counts as rounding."""


@dataclass(frozen=True)
class Heads:
    """The heads of a run.

    Attributes:
        disease: f, fitted on the training images with the last edit.
        sensitive: g, fitted on the clean training images.
        difference: Largest difference of the checked test images' scores from the stored ones, over
            their largest score.
    """

    disease: Head
    sensitive: Head
    difference: float


def refit_heads(
    run: StoredRun,
    listener: Listener,
    registry: Registry | None = None,
    allowed: Callable[[int], bool] = lambda images: False,
) -> Heads:
    """Fits the heads of a finished run as its scorer did.

    The training images are embedded again with the last edit, and a few test images to compare their
    scores with the stored ones.

    Args:
        run: A finished run.
        listener: Receives the progress.
        registry: Plugins; those of the installed packages if ``None``.
        allowed: Whether so many images may be sent to a service.

    Raises:
        ConfigError: The run is not done, its parts differ from before, or the encoder is a service and
            the images are not allowed.
        EncoderError: The scores are not those of the run.
    """
    scores = run.files.scores
    if not run.done or scores is None or run.files.setup is None:
        raise ConfigError(f"{run.location} is {run.status}; only a finished run has heads to fit")
    registry, split_record = registry or load_registry(), run.manifest.split
    count = split_record.train + min(CHECKED, split_record.test)
    with of_a_stored_run(run.manifest, registry):
        resolved = resolve_config(run.config, registry)
    if resolved.encoder.outlook is not None and not allowed(count):
        raise ConfigError(
            f"{run.config.encoder} is a service: fitting the heads again sends it {count:,} images; say "
            "--yes to send them"
        )
    parts = make_parts(run.config, registry, listener, run.manifest)
    try:
        check_same(run.manifest, parts, run.location, listener)
        split, protocol, seed = parts.split, run.config.heads, run.config.seed
        edit = run.edit_after(run.snapshots[-1])
        rows = np.concatenate([split.train, split.test[:CHECKED]])
        images = load_images(parts.dataset, rows)
        train = images.part(slice(0, len(split.train)))
        listener.phase("embed edited images", count)
        metered = MeteredEncoder(parts.encoder, Ledger())
        embedded = embed_images(
            metered, images, Purpose.SCORE, edit, lambda done, _: listener.update(done)
        )
        here, there = embedded[: len(train)], embedded[len(train) :]
        disease = fit_head(
            here, train.label, protocol=protocol, role="disease", rng=generator(seed, "heads")
        )
        sensitive = fit_sensitive_head(
            run.files.setup.clean,
            train.sensitive,
            train.label,
            protocol=protocol,
            rng=generator(seed, "heads"),
        )
        stored = np.array(run.results.edits[-1].score if run.results else ())
        difference = np.abs(disease.score(there) - stored[:CHECKED]).max() / np.abs(stored).max()
    finally:
        for encoder in parts.encoders:
            close_and_tell(encoder, listener)
    if not difference <= TOLERANCE:
        raise EncoderError(
            f"the heads of {run.location} cannot be had again: test images now have scores that differ "
            f"by {difference:.2g} of the largest from the stored ones, so the encoder is not what it was"
        )
    return Heads(disease, sensitive, float(difference))
