"""Carries out methods on one problem, and keeps what they answer: one small file an answer."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zobench.files import files
from zobench.records import run_folder as store
from zobench.config import RunConfig, config_from_json
from zobench.oracle.metered_encoder import MeteredEncoder, embed_images
from zobench.errors import ConfigError, PluginError, StoreError
from .lifecycle import carry_out, new_manifest, slug
from zobench.measures.group_rates import Predictions, signed_metrics_of_all
from zobench.problem.heads import fit_head
from zobench.records.identity import identity
from zobench.problem.images import load_images
from zobench.oracle.ledger import Ledger
from zobench.contracts.method import Answer, Known, Method, MethodContext, Optimize
from zobench.contracts.parameters import resolve
from .pictures import healthy_films
from zobench.registry.discovery import distribution_version
from zobench.contracts.listener import Listener
from zobench.measures.resampling import bootstrap_weights
from zobench.records.result import read_scores
from .result_cache import digest
from zobench.suite.planning import place
from .shared_parts import Workshop

FOLDER = "methods"
OPTIMIZER = "optimizer"
"""What stands behind the colon of a method that runs an optimizer."""
IRRELEVANT = ("optimizer", "space", "box", "budget", "batch_size", "penalty", "snapshots")
"""Fields of a config that a method without an optimizer does not look at."""


@dataclass(frozen=True)
class Solved:
    """A method's answer with the test images it is about.

    Attributes:
        method: As named.
        config: Of the problem.
        answer: What the method said.
        test: Columns ``patient``, ``label``, ``sensitive`` of the test images.
    """

    method: str
    config: RunConfig
    answer: Answer
    test: Mapping[str, NDArray[np.int64]]

    def metrics(self, replicates: int | None = None) -> dict[str, NDArray[np.float64]]:
        """Metrics in percent ``(R + 1,)``: on the test patients, then on R resamples of them."""
        columns = (self.test["patient"], self.test["label"], self.test["sensitive"])
        count = self.config.replicates if replicates is None else replicates
        weights = bootstrap_weights(*columns, self.config.seed, count)
        scores = np.asarray(self.answer.scores)
        predictions = Predictions(scores, columns[1], columns[2])
        (found,) = signed_metrics_of_all([predictions], weights, auc=False)
        return {name: np.abs(values) for name, values in found.items()}


class Problem:
    """A split of a dataset behind an encoder; images and clean embeddings are had once for all."""

    def __init__(self, config: RunConfig, out: Path, workshop: Workshop) -> None:
        """Loads encoder and dataset, unless they are there; no image is looked at yet.

        Args:
            config: Of the problem; budget, batch size and the like are those of methods that run an
                optimizer, and must allow one evaluation of the config's own.
            out: Where answers and run folders are kept.
            workshop: Makes the parts; the encoder is let go with it.
        """
        self._config, self._out, self._workshop = config, out, workshop
        self._listener = workshop.listener
        self._parts = workshop.parts(config)
        self._known = Known()
        self._images: Any = None

    def solve(self, method: str, overrides: Mapping[str, Any] | None = None) -> Solved:
        """A method's answer, from its file if it was solved before.

        Raises:
            ZobenchError: The method is not known, or cannot be used here.
        """
        offer, argument = self._workshop.registry.find("methods", method)
        chosen = dict(overrides or {})
        owner = f"method.{method.partition(':')[0]}"
        parameters = asdict(resolve(offer.plugin.parameters(), chosen, owner))
        optimizes = offer.plugin.argument == OPTIMIZER
        whole = self._of_run(argument)[1] if optimizes else self._manifest()
        version = distribution_version(offer.distribution)
        name = digest(identity(whole), method, parameters, offer.distribution, version)
        path = self._out / FOLDER / f"{self._slug(method)}-{name[:10]}.json"
        if path.exists():
            return read_solved(path)
        context = self._context(argument, method, self._optimize if optimizes else _refused)
        made: Method = offer.plugin.make(context, chosen, owner)
        solved = Solved(method, self._config, made.solve(), self._columns())
        _write(path, solved, parameters)
        return solved

    def carry(self, noise: NDArray[np.float32], title: str) -> Solved:
        """What the classifier comes to on images that carry a noise ``(H, W)`` learnt elsewhere.

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
        name = digest(identity(self._manifest()), title, noise)
        path = self._out / FOLDER / f"{self._slug('carried')}-{name[:10]}.json"
        if path.exists():
            return read_solved(path)
        context, edit = self._context("", title, _refused), torch.from_numpy(noise)[None]
        images, encoder, told = self._load(), context.metered, context.progress
        train = embed_images(encoder, images[0], "setup", edit, told)
        test = embed_images(encoder, images[1], "score", edit, told)
        head = fit_head(
            train, context.train.label, protocol=context.protocol, role="disease", rng=context.rng()
        )
        answer = context.answer(head.score(test))
        solved = Solved(title, self._config, answer, self._columns())
        _write(path, solved, {})
        return solved

    def films(self) -> tuple[NDArray[np.float32], tuple[str, str]]:
        """A test film ``(2, H, W)`` in [0, 1] of each group without the finding; the groups' names."""
        return healthy_films(self._load()[1]), self._parts.dataset.spec.groups

    def _manifest(self) -> dict[str, Any]:
        """Of the problem alone, as if there were no optimizer."""
        manifest = new_manifest(self._config, self._parts)
        config, parameters = manifest["config"], manifest["parameters"]
        manifest["config"] = {key: config[key] for key in config if key not in IRRELEVANT}
        manifest["parameters"] = {key: parameters[key] for key in parameters if key != "optimizer"}
        return manifest

    def _slug(self, method: str) -> str:
        return slug(replace(self._config, optimizer=method))

    def _context(self, argument: str, title: str, optimize: Optimize) -> MethodContext:
        train, test = self._load()
        words = f"{title}, {self._config.disease}, seed {self._config.seed}"
        return MethodContext(
            train=train,
            test_pixels=test.pixels,
            metered=MeteredEncoder(self._parts.encoder, Ledger(self._config.backward_cost)),
            protocol=self._config.heads,
            seed=self._config.seed,
            argument=argument,
            optimize=optimize,
            known=self._known,
            progress=_Passes(self._listener, words),
        )

    def _load(self) -> Any:
        if self._images is None:
            split, dataset = self._parts.split, self._parts.dataset
            self._listener.phase("prepare images", len(split.train) + len(split.test))
            self._images = tuple(
                load_images(dataset, rows, lambda done, total: self._listener.update(done))
                for rows in (split.train, split.test)
            )
        return self._images

    def _columns(self) -> dict[str, NDArray[np.int64]]:
        test = self._load()[1]
        return {"patient": test.patient, "label": test.label, "sensitive": test.sensitive}

    def _of_run(self, optimizer: str) -> tuple[RunConfig, files.Json]:
        """The run of an optimizer on this problem, and what is known of it before it begins."""
        config = replace(self._config, optimizer=optimizer)
        return config, new_manifest(config, self._workshop.parts(config))

    def _optimize(self, optimizer: str) -> Answer:
        """A run, where a suite would find it or put it."""
        config, manifest = self._of_run(optimizer)
        folder = place(config, identity(manifest), self._out)
        if not store.is_done(folder):
            registry = self._workshop.registry
            carry_out(config, folder, registry=registry, listener=self._listener)
        last = read_scores(folder)[0][-1]
        ledger = store.read_manifest(folder)["ledger"]
        return Answer(last.score, ledger, {"run": folder.name, "norm": last.norm})


def _refused(optimizer: str) -> Answer:
    raise PluginError(
        f"a method that runs an optimizer ({optimizer!r}) must be registered with the argument "
        f"{OPTIMIZER!r}, as dne is"
    )


class _Passes:
    """A new phase for each time that a method goes through images."""

    def __init__(self, listener: Listener, title: str) -> None:
        self._listener, self._title, self._done = listener, title, math.inf

    def __call__(self, done: int, total: int) -> None:
        if done <= self._done:
            self._listener.phase(self._title, total)
        self._done = done
        self._listener.update(done)


def read_solved(path: Path) -> Solved:
    """An answer from its file.

    Raises:
        StoreError: It is damaged.
    """
    found = files.read_json(path)
    try:
        answer = Answer(tuple(found["scores"]), found["ledger"], found["notes"])
        test = {name: np.asarray(column, dtype=np.int64) for name, column in found["test"].items()}
        return Solved(found["method"], config_from_json(found["config"]), answer, test)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(
            f"{path} is no answer of a method ({type(error).__name__}: {error}); delete it, and it "
            "is made again"
        ) from error


def _write(path: Path, solved: Solved, parameters: Mapping[str, Any]) -> None:
    found = {
        "schema": store.SCHEMA,
        "method": solved.method,
        "parameters": dict(parameters),
        "config": solved.config.as_dict(),
        "scores": list(solved.answer.scores),
        "ledger": solved.answer.ledger,
        "notes": dict(solved.answer.notes),
        "test": {name: column.tolist() for name, column in solved.test.items()},
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    files.write_json(draft, found)
    with files.disk_errors(path):
        draft.replace(path)  # two processes may be at the same answer
