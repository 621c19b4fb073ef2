"""Ask, query, tell; a trace row a tell, snapshots and checkpoints when due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from zobench.errors import BudgetExhausted, ConfigError, Interrupted, PluginError
from zobench.oracle.ledger import Counts
from zobench.contracts.optimizer import Optimizer, require_ask
from zobench.oracle.oracle import Oracle
from zobench.contracts.listener import Listener
from zobench.records.run_folder import Checkpoint, RunFolder, snapshot_queries

CHECKPOINT_SECONDS = 1.0


def snapshot_schedule(first: int, budget: int, count: int) -> list[int]:
    """Query counts at which a snapshot is due, evenly spaced in logs, ending at the budget."""
    if count == 1:
        return [budget]
    step = (math.log(budget) - math.log(first)) / (count - 1)
    return [math.ceil(math.exp(math.log(first) + step * i) - 1e-9) for i in range(count - 1)] + [
        budget
    ]


@dataclass
class Loop:
    """The main loop over one optimizer; knows nobody by name.

    Attributes:
        optimizer: Who asks.
        oracle: Who answers.
        folder: Where everything is kept.
        due: Query counts at which snapshots are due.
        listener: Told of progress.
        clock: Seconds that the run took so far, for the checkpoint.
        stopped: Whether the user asked to stop; looked at between two asks.
        ended_by: Which limit the next batch would have passed: ``budget`` or ``max_cost``.
    """

    optimizer: Optimizer
    oracle: Oracle
    folder: RunFolder
    due: list[int]
    listener: Listener
    clock: Callable[[], float]
    stopped: Callable[[], bool] = lambda: False
    ended_by: str = ""

    def run(self, start: Checkpoint | None = None) -> None:
        """Runs until the next batch would pass the budget.

        Args:
            start: Where to go on, or ``None`` to begin.

        Raises:
            Interrupted: ``stopped`` said so; the state is saved.
            ConfigError: The budget is smaller than the first batch.
        """
        counts = self.oracle.ledger.optimize
        asks = 0
        metered = self.oracle.objective.encoder
        seconds_elsewhere = metered.seconds
        if start is not None:
            self.optimizer.load_state_dict(start.optimizer)
            self.oracle.ledger.optimize = counts = Counts(**start.counts)
            asks = start.asks
            metered.seconds += start.encoder_seconds
        saved = time.perf_counter()
        self.listener.phase("optimize", self.oracle.budget)
        self.listener.update(counts.queries)
        last_snapshot = max(snapshot_queries(self.folder.path), default=0)

        def state() -> Checkpoint:
            return Checkpoint(
                asks,
                self.optimizer.state_dict(),
                asdict(counts),
                metered.seconds - seconds_elsewhere,
                self.clock(),
            )

        while True:
            asked_at, encoder_at = time.perf_counter(), metered.seconds
            before = state()
            try:
                ask = require_ask(self.optimizer.ask())
                answer = self.oracle.query(ask)
            except BudgetExhausted as refusal:
                if asks == 0:
                    raise ConfigError(
                        f"budget is {self.oracle.budget}, but the first batch of this optimizer "
                        f"cannot be paid: {refusal}"
                    ) from refusal
                self.ended_by = refusal.limit
                break
            except BaseException:
                self.folder.checkpoint(before)
                raise
            previous = counts.queries - self.oracle.price(ask)
            self.optimizer.tell(ask, answer)
            asks += 1
            row = {
                "ask": asks,
                **asdict(counts),
                "value_min": float(answer.values.min()),
                "value_mean": float(answer.values.mean()),
            }
            inside = metered.seconds - encoder_at
            timing = {
                "ask": asks,
                "seconds": time.perf_counter() - asked_at,
                "encoder_seconds": inside,
            }
            self.folder.append(row, timing)
            if any(previous < due <= counts.queries for due in self.due):
                self._snapshot(counts.queries)
                last_snapshot = counts.queries
            self.listener.update(counts.queries, objective=row["value_mean"])
            if time.perf_counter() - saved >= CHECKPOINT_SECONDS or self.stopped():
                self.folder.checkpoint(state())
                metered.settle()
                saved = time.perf_counter()
            if self.stopped():
                raise Interrupted("stopped between two batches; everything so far is saved")
        if last_snapshot < counts.queries:
            self._snapshot(counts.queries)
        self.folder.checkpoint(state())
        metered.settle()

    def _snapshot(self, queries: int) -> None:
        import torch

        point = self.optimizer.recommend()
        space = self.oracle.space
        if tuple(point.shape) != space.shape or not bool(torch.isfinite(point).all()):
            raise PluginError(
                f"the optimizer recommended a point of shape {tuple(point.shape)}; it must be finite "
                f"and of shape {space.shape}"
            )
        with torch.inference_mode():
            self.folder.write_snapshot(queries, space.decode(point[None])[0])
