"""Runs a recorded run's optimizer anew on its record, without the encoder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.handover import taken_point, taken_state
from zobench.contracts.optimizer import LocalEncoder, Optimizer
from zobench.contracts.parameters import resolve
from zobench.contracts.random_streams import generator
from zobench.errors import ConfigError, EncoderError
from zobench.oracle.ledger import Ledger
from zobench.oracle.local_images import LocalImages
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.problem.heads import fit_sensitive_head
from zobench.problem.images import load_images
from zobench.problem.split import SplitParameters, make_split
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .parts import NEW, make_dataset, make_local
from .recorder import RecordedOracle
from .resolved import ResolvedPlugin, of_a_stored_run, resolve_plugin
from .search_parts import TrainingData, make_client, make_evaluator, make_optimizer


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    Attributes:
        asks: Asks answered from the record.
        queries: Queries that they cost when they were recorded.
        same_edit: Whether the optimizer recommends the edit that the run ended with.
    """

    asks: int
    queries: int
    same_edit: bool


def replay_run(place: str | os.PathLike[str], *, registry: Registry | None = None) -> Replay:
    """Runs a recorded run's optimizer anew on its record; needs no encoder, but a borrowed one.

    An optimizer that declares more than ``value`` feedback knows the training images, so their
    dataset must be there.

    Args:
        place: A run folder, recorded with ``--record``.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: The run was not recorded or is not done, the optimizer asks something else, or
            the dataset is another one.
        EncoderError: The encoder that the optimizer borrows cannot be loaded.
        DatasetError: The dataset cannot be read.
    """
    oracle, run = RecordedOracle(place), StoredRun(place)
    if not run.done:
        raise ConfigError(f"{run.location} is {run.status}; zobench resume it first")
    config, registry = oracle.config, registry or load_registry()

    def plugin(owner: str) -> ResolvedPlugin:
        overrides = config.overrides.get(owner, {})
        with of_a_stored_run(run.manifest, registry):
            return resolve_plugin(owner, getattr(config, owner), overrides, registry)

    client = evaluator = None
    if run.manifest.feedback != "value":
        data = _training_data(run, plugin("dataset"))
        absent = MeteredEncoder(_AbsentEncoder(run.manifest.encoder), Ledger())
        evaluator = make_evaluator(config, plugin("objective"), data, absent)
        client = make_client(evaluator, data)
    resolved, ends = plugin("optimizer"), list(run.manifest.extended)
    budgets = [*(end["budget"] for end in ends), config.budget]
    with _borrowed(run, resolved) as local:

        def made(budget: int) -> Optimizer:
            return make_optimizer(
                config.changed(budget=budget), resolved, oracle.space, client, local
            )

        optimizer = made(budgets[0])
        spent = 0
        for row in run.trace:
            while ends and spent == ends[0]["queries"]:  # the run was extended here
                state = taken_state(optimizer.state_dict(), config.optimizer)
                ends, budgets = ends[1:], budgets[1:]
                optimizer = made(budgets[0])
                optimizer.load_state_dict(state)
            spent = row["queries"]
            ask = optimizer.ask()
            answer = oracle.query(ask)
            if evaluator is not None and answer.embeddings is not None and answer.rows is not None:
                evaluator.observe(answer.embeddings, answer.rows)
            optimizer.tell(ask, answer)
    point = taken_point(optimizer.recommend(), config.optimizer, oracle.space.shape)
    edit = oracle.space.decode(point[None])[0]
    same = bool(run.snapshots) and bool(torch.equal(edit, run.edit_after(run.snapshots[-1])))
    return Replay(len(run.trace), oracle.queries, same)


@contextmanager
def _borrowed(run: StoredRun, plugin: ResolvedPlugin) -> Iterator[LocalEncoder | None]:
    """The encoder that the optimizer borrowed; ``None`` for none."""
    stored = run.manifest.local
    encoder = make_local(run.config, plugin, NEW if stored is None else stored.settings)
    try:
        if encoder is not None and (stored is None or encoder.spec.digest != stored.digest):
            raise ConfigError(
                f"the local encoder is not what it was when {run.location} began ("
                f"{stored and stored.digest}, now {encoder.spec.digest}); restore it to replay"
            )
        yield None if encoder is None else LocalImages(encoder, Ledger())
    finally:
        if encoder is not None:
            encoder.close()


def _training_data(run: StoredRun, plugin: ResolvedPlugin) -> TrainingData:
    """The training images of a run, with the clean embeddings that the run stored."""
    config, manifest = run.config, run.manifest
    dataset = make_dataset(config, plugin, manifest.encoder.image_shape)
    if dataset.spec.digest != manifest.dataset.digest or run.files.setup is None:
        raise ConfigError(
            f"the dataset is not what it was when {run.location} began ({manifest.dataset.digest}, now "
            f"{dataset.spec.digest}); restore it to replay an optimizer that knows the images"
        )
    sizes = resolve(SplitParameters, config.overrides.get("split", {}), "split")
    split = make_split(dataset, sizes, generator(config.seed, "split"))
    images, clean = load_images(dataset, split.train), run.files.setup.clean
    head = fit_sensitive_head(
        clean,
        images.sensitive,
        images.label,
        protocol=config.heads,
        rng=generator(config.seed, "heads"),
    )
    return TrainingData(images, clean, head)


class _AbsentEncoder:
    """The encoder of a recorded run, which embeds nothing any more."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def embed(self, images: Tensor) -> Tensor:
        """Refuses: a replay takes every embedding from the record."""
        raise EncoderError(f"a replay sends no image to {self.spec.name}")

    def close(self) -> None:
        """Does nothing."""
