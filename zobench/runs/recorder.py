"""Answers of an oracle, kept, and given again without encoder, images or labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zobench.files import files
from zobench.records import run_folder as store
from .parts import make_optimizer
from zobench.config import RunConfig, config_from_json
from zobench.errors import BudgetExhausted, ConfigError
from zobench.oracle.ledger import Ledger
from zobench.contracts.optimizer import Answer, Ask, require_ask
from zobench.registry.discovery import Registry, load_registry
from .result_cache import digest
from zobench.problem.spaces import Space, make_space

if TYPE_CHECKING:
    from torch import Tensor

ANSWERS = "answers"


def ask_digest(ask: Ask) -> str:
    """Identifies an ask by its points, minibatches and feedback, to the last bit."""
    return digest(ask.points.detach().cpu().numpy(), np.asarray(ask.minibatch), ask.want)


class Recorder:
    """Keeps every answer in ``answers/`` of a run folder, one file an ask."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ANSWERS

    def give(self, ask: Ask, evaluate: Callable[[Ask], Answer]) -> Answer:
        """Evaluates, and keeps the answer."""
        answer = evaluate(ask)
        tensors = {"values": answer.values}
        for name in ("embeddings", "gradients"):
            value = getattr(answer, name)
            if value is not None:
                tensors[name] = value
        files.write_tensors(self._folder / f"{ask_digest(ask)}.safetensors", tensors)
        return answer


class RecordedOracle:
    """Answers what a run was answered; a debugger's oracle, free of charge.

    Attributes:
        config: Of the run.
        space: Where its points live.
        ledger: What the asks so far would have cost.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a run's record.

        Raises:
            StoreError: It is no run folder, or is damaged.
            ConfigError: The run was not recorded.
        """
        manifest = store.read_whole_manifest(folder)
        if not (folder / ANSWERS).is_dir():
            raise ConfigError(f"{folder} has no recorded answers; record a run with --record")
        self._folder, self._asks = folder, 0
        self.config: RunConfig = config_from_json(manifest["config"])
        shape = tuple(manifest["encoder"]["image_shape"])
        self.space: Space = make_space(self.config.space, shape, self.config.box)
        self.ledger = Ledger(self.config.backward_cost)

    def query(self, ask: Ask) -> Answer:
        """The answer that was recorded.

        Raises:
            BudgetExhausted: The ask would pass the run's budget.
            ConfigError: Nobody asked that.
        """
        images = len(ask.points) * self.config.batch_size
        gradient = ask.want == "gradient"
        spent = self.ledger.optimize.queries
        if spent + self.ledger.price(images, gradient=gradient) > self.config.budget:
            raise BudgetExhausted(f"{spent} of {self.config.budget} queries are spent")
        self._asks += 1
        path = self._folder / ANSWERS / f"{ask_digest(ask)}.safetensors"
        if not path.exists():
            raise ConfigError(
                f"ask {self._asks} was not recorded in {self._folder}: its points, minibatches or "
                "feedback differ from the run's, so the optimizer or its parameters have changed"
            )
        self.ledger.charge("optimize", images, gradient=gradient)
        self.ledger.optimize.evaluations += len(ask.points)
        tensors, _ = files.read_tensors(path)
        return Answer(tensors["values"], tensors.get("embeddings"), tensors.get("gradients"))


@dataclass(frozen=True)
class Replay:
    """What a replay did.

    Attributes:
        asks: Asks answered from the record.
        queries: Queries that they cost when they were recorded.
        same_edit: Whether the optimizer recommends the edit that the run ended with.
    """

    asks: int
    queries: int
    same_edit: bool


def replay_run(folder: Path, *, registry: Registry | None = None) -> Replay:
    """Runs a recorded run's optimizer anew on its record; needs no encoder.

    Args:
        folder: A run folder, recorded with ``--record``.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: The run was not recorded or is not done, or the optimizer asks something else.
    """
    import torch

    oracle = RecordedOracle(folder)
    status = store.read_whole_manifest(folder)["status"]
    if status != "done":
        raise ConfigError(f"{folder} is {status}; zobench resume it first")
    optimizer = make_optimizer(oracle.config, registry or load_registry(), oracle.space)
    asks = len(files.read_rows(folder / store.TRACE))
    for _ in range(asks):
        ask = require_ask(optimizer.ask())
        optimizer.tell(ask, oracle.query(ask))
    edit: Tensor = oracle.space.decode(optimizer.recommend()[None])[0]
    kept = store.snapshot_queries(folder)
    same = bool(kept) and bool(torch.equal(edit, store.read_snapshot(folder, kept[-1])))
    return Replay(asks, oracle.ledger.optimize.queries, same)
