"""Carries out methods on one problem, and stores each result in a small file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.billing.account import PaidEncoder, check_service
from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.contracts.method import Method, MethodResult
from zobench.contracts.purpose import Purpose
from zobench.errors import ConfigError, DamagedError, PluginError
from zobench.measures.patient_bootstrap import ScoredImages
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.problem.heads import fit_head
from zobench.problem.images import Images, load_images
from zobench.records.identity import identity, problem_identity, slug
from zobench.records.standing import is_done
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import distribution_version
from zobench.runs.lifecycle import carry_out
from zobench.runs.pictures import healthy_films
from zobench.runs.provenance import new_manifest
from zobench.runs.result_cache import digest
from zobench.runs.shared_parts import SharedParts
from zobench.suite.planning import place

from .context import Context, EmbeddingCache
from .gradients import require_gradients
from .solved import Solved, read_solved, write_solved

FOLDER = "methods"
OPTIMIZER = "optimizer"
"""The argument of a method that runs an optimizer."""
IRRELEVANT = (
    *("optimizer", "objective", "space", "box", "budget", "batch_size", "penalty"),
    *("snapshots", "scored", "controls", "baselines"),
)
"""Fields of a config that have no effect on a method without an optimizer."""


class Problem:
    """A split of a dataset with an encoder; all methods share its images and clean embeddings."""

    def __init__(self, config: RunConfig, out: Path, shared: SharedParts) -> None:
        """Loads encoder and dataset, unless they are loaded; no image is read yet.

        Args:
            config: The request; fields such as budget and batch size are for methods that run an
                optimizer. The budget must allow one evaluation of the config's own optimizer.
            out: Folder of results and run folders.
            shared: The parts that several problems share; it closes the encoder.
        """
        self._config, self._out, self._shared = config, out, shared
        self._listener = shared.listener
        self._parts = shared.parts(config)
        self._cache = EmbeddingCache()
        self._images: tuple[Images, Images] | None = None

    def solve(self, method: str, overrides: Mapping[str, Any] | None = None) -> Solved:
        """The result of a method, from its file if it was solved before.

        Raises:
            ZobenchError: The method is not known, or cannot be used here.
        """
        registry = self._shared.registry
        offer, argument = registry.find("methods", method)
        owner = f"method.{method.partition(':')[0]}"
        parameters = offer.plugin.resolve(dict(overrides or {}), owner)
        optimizes = offer.plugin.argument == OPTIMIZER
        name = self._identity_of_run(argument)[1] if optimizes else self._identity()
        version = distribution_version(offer.distribution)
        key = digest(name, method, asdict(parameters), offer.distribution, version)
        path = self._out / FOLDER / f"{self._slug(method)}-{key[:10]}.json"
        if (stored := self._stored(path)) is not None:
            return stored
        require_gradients([method], self._parts.encoder.spec.differentiable, self._config, registry)
        context = self._context(argument, method, self._optimize if optimizes else _refused)
        made: Method = offer.plugin.build(context, parameters)
        solution = made.solve()
        self._require_unchanged(method)
        solved = Solved(method, self._config, solution, self._test())
        self._store(path, solved, asdict(parameters))
        return solved

    def carry(self, noise: NDArray[np.float32], title: str) -> Solved:
        """The classifier's result on images with a noise ``(H, W)`` that was learnt elsewhere.

        Raises:
            ConfigError: The noise has another size than the encoder's images.
        """
        import torch

        size = self._parts.encoder.spec.image_shape[1:]
        if noise.shape != size:
            raise ConfigError(
                f"a noise of {noise.shape[0]} x {noise.shape[1]} pixels cannot be carried to encoder "
                f"{self._config.encoder!r}, whose images have {size[0]} x {size[1]}"
            )
        key = digest(self._identity(), title, noise)
        path = self._out / FOLDER / f"{self._slug('carried')}-{key[:10]}.json"
        if (stored := self._stored(path)) is not None:
            return stored
        context, edit = self._context("", title, _refused), torch.from_numpy(noise)[None]
        images, encoder, told = self._load(), context.metered, context.progress
        train = embed_images(encoder, images[0], Purpose.SETUP, edit, told)
        test = embed_images(encoder, images[1], Purpose.SCORE, edit, told)
        head = fit_head(
            train, context.train.label, protocol=context.protocol, role="disease", rng=context.rng()
        )
        result = context.result(head.score(test))
        solved = Solved(title, self._config, result, self._test())
        self._store(path, solved, {})
        return solved

    def _store(self, path: Path, solved: Solved, parameters: Mapping[str, Any]) -> None:
        """Stores a result; that of a service only if the service is still what it was."""
        check_service(self._parts.encoder)
        write_solved(path, solved, parameters)

    def _stored(self, path: Path) -> Solved | None:
        """A stored result; a damaged one is computed anew, unless the encoder must be paid again."""
        try:
            return read_solved(path) if path.exists() else None
        except DamagedError as error:
            if isinstance(self._parts.encoder, PaidEncoder):
                raise
            self._listener.note(f"{error.fault}; the result is computed anew")
            return None

    def films(self) -> tuple[NDArray[np.float32], tuple[str, str]]:
        """A test film without the finding per group, ``(2, H, W)`` in [0, 1]; the groups' names."""
        return healthy_films(self._load()[1]), self._parts.dataset.spec.groups

    def _identity(self) -> str:
        """The identity of the problem without its optimizer."""
        return problem_identity(new_manifest(self._parts), IRRELEVANT)

    def _slug(self, method: str) -> str:
        return slug(replace(self._config, optimizer=method))

    def _context(
        self, argument: str, title: str, optimizing: Callable[[str], MethodResult]
    ) -> Context:
        train, test = self._load()
        words = f"{title}, {self._config.disease}, seed {self._config.seed}"
        return Context(
            train=train,
            test_pixels=test.pixels,
            test_sensitive=test.sensitive,
            metered=MeteredEncoder(self._parts.encoder, Ledger(self._config.backward_cost)),
            protocol=self._config.heads,
            seed=self._config.seed,
            argument=argument,
            optimizing=optimizing,
            cache=self._cache,
            progress=_Passes(self._listener, words),
        )

    def _load(self) -> tuple[Images, Images]:
        if self._images is None:
            split, dataset = self._parts.split, self._parts.dataset
            self._listener.phase("prepare images", len(split.train) + len(split.test))
            train, test = (
                load_images(dataset, rows, lambda done, total: self._listener.update(done))
                for rows in (split.train, split.test)
            )
            self._images, self._pixels = (train, test), _digest(train, test)
        return self._images

    def _require_unchanged(self, method: str) -> None:
        """All methods share the images, so one that changes them would falsify the next one's result.

        Raises:
            PluginError: The method has changed them; images and embeddings are made anew for the next
                method.
        """
        if self._images is not None and _digest(*self._images) != self._pixels:
            self._images, self._cache = None, EmbeddingCache()
            raise PluginError(
                f"method {method!r} changed the images or labels that all methods share; it must work "
                "on copies"
            )

    def _test(self) -> ScoredImages:
        test = self._load()[1]
        return ScoredImages(test.patient, test.label, test.sensitive)

    def _identity_of_run(self, optimizer: str) -> tuple[RunConfig, str]:
        """The run of an optimizer on this problem, and its identity."""
        config = replace(self._config, optimizer=optimizer)
        return config, identity(new_manifest(self._shared.parts(config)))

    def _optimize(self, optimizer: str) -> MethodResult:
        """The result of the run of an optimizer; the run folder is the same as for a suite."""
        config, name = self._identity_of_run(optimizer)
        folder = place(config, name, self._out)
        if not is_done(folder):
            registry = self._shared.registry
            carry_out(config, folder, registry=registry, listener=self._listener)
        run = StoredRun(folder)
        assert run.files.scores is not None
        last = run.files.scores.edits[-1]
        return MethodResult(last.score, run.ledger, {"run": folder.name, "norm": last.norm})


def _digest(train: Images, test: Images) -> str:
    columns = ("pixels", "label", "sensitive", "patient")
    return digest(*(getattr(images, name) for images in (train, test) for name in columns))


def _refused(optimizer: str) -> MethodResult:
    raise PluginError(
        f"a method that runs an optimizer ({optimizer!r}) must be registered with the argument "
        f"{OPTIMIZER!r}, as dne is"
    )


class _Passes:
    """Reports progress; every pass of a method over the images is a new phase."""

    def __init__(self, listener: Listener, title: str) -> None:
        self._listener, self._title, self._done = listener, title, math.inf

    def __call__(self, done: int, total: int) -> None:
        if done <= self._done:
            self._listener.phase(self._title, total)
        self._done = done
        self._listener.update(done)
