"""Stores the answers of an oracle, and replays them without the encoder."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from zobench.config import RunConfig
from zobench.contracts.handover import AskRules, checked_ask, taken_ask
from zobench.contracts.optimizer import Answer, Ask
from zobench.contracts.space import Space
from zobench.errors import BudgetExhausted, ConfigError
from zobench.files.location import Location, Place
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.problem.spaces import make_space
from zobench.records.layout import ANSWERS
from zobench.records.manifest import read_manifest

from .result_cache import digest


def answer_file(ask: Ask, spent: int) -> str:
    """The name of an answer's file: a digest of the ask, which one different bit changes.

    Args:
        ask: Its points, images, feedback and cotangents count.
        spent: Queries before the ask: an objective that learns answers the same ask anew each time.
    """
    images = ask.minibatch if ask.rows is None else ask.rows
    along = () if ask.cotangents is None else (ask.cotangents.numpy(),)
    asked = (ask.points.numpy(), np.asarray(images), str(ask.images), ask.want, *along)
    return f"{digest(*asked, str(spent))}.safetensors"


class AnswerRecorder:
    """Stores every answer in ``answers/`` of a run folder, one file per ask."""

    def __init__(self, folder: Place) -> None:
        self._folder = Location.of(folder) / ANSWERS

    def give(self, ask: Ask, spent: int, evaluate: Callable[[Ask], Answer]) -> Answer:
        """Evaluates an ask that is made after ``spent`` queries, and keeps the answer."""
        import torch

        name_of_file = answer_file(ask, spent)
        answer = evaluate(ask)
        tensors = {"values": answer.values}
        for name in ("embeddings", "gradients"):
            value = getattr(answer, name)
            if value is not None:
                tensors[name] = value
        if answer.rows is not None:
            tensors["rows"] = torch.from_numpy(answer.rows)
        write_tensors(self._folder / name_of_file, tensors)
        return answer


class RecordedOracle:
    """An oracle for debugging that replays the answers of a recorded run without an encoder.

    Attributes:
        config: The config of the run.
        space: The search space of the run.
        queries: Queries that the replayed asks so far cost when the run was recorded.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """Opens the record of a run.

        Raises:
            StoreError: It is no run folder, or is damaged.
            ConfigError: The run was not recorded.
        """
        self._place, self._asks = Location.of(place), 0
        manifest = read_manifest(self._place)
        if not (self._place.path / ANSWERS).is_dir():
            raise ConfigError(f"{self._place} has no recorded answers; record a run with --record")
        self.config: RunConfig = manifest.config
        self._feedback, self._images = manifest.feedback, manifest.split.train
        self._dimension = manifest.encoder.embedding_dim
        shape = manifest.encoder.image_shape
        self.space: Space = make_space(self.config.space, shape, self.config.box)
        self.queries = 0

    def query(self, ask: object) -> Answer:
        """The recorded answer to an ask.

        Raises:
            BudgetExhausted: The ask would exceed the run's budget.
            ConfigError: No answer to this ask was recorded.
            PluginError: The ask breaks the contract.
        """
        config = self.config
        rules = AskRules(
            config.optimizer,
            self.space.shape,
            self._feedback,
            config.batch_size,
            self._images,
            self._dimension,
        )
        taken = taken_ask(checked_ask(ask, rules), config.optimizer)
        price = taken.price(config.batch_size, config.backward_cost)
        if self.queries + price > self.config.budget:
            raise BudgetExhausted(f"{self.queries} of {self.config.budget} queries are spent")
        self._asks += 1
        place = self._place / ANSWERS / answer_file(taken, self.queries)
        if not place.path.exists():
            raise ConfigError(
                f"ask {self._asks} was not recorded in {self._place}: its points, images or "
                "feedback differ from the run's, so the optimizer or its parameters have changed, or "
                f"its answer {place.path.name} was deleted; if an earlier version of zobench recorded "
                "the run, record it anew"
            )
        self.queries += price
        tensors, _ = read_tensors(place)
        rows = tensors.get("rows")
        return Answer(
            tensors["values"],
            tensors.get("embeddings"),
            tensors.get("gradients"),
            None if rows is None else rows.numpy(),
        )
