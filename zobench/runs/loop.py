"""The main loop: ask, query, tell; writes trace rows, snapshots and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from zobench.contracts.handover import taken_point, taken_state
from zobench.contracts.listener import Listener
from zobench.contracts.optimizer import Answer, Ask, Optimizer, Preparing
from zobench.contracts.purpose import Purpose
from zobench.errors import BudgetExhausted, ConfigError, Interrupted, PluginError
from zobench.oracle.oracle import Oracle
from zobench.records.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_SECONDS = 1.0


class LoopRecord(Protocol):
    """Stores the loop's output; :class:`zobench.records.run_folder.RunFolder` implements it."""

    def append(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        """Adds a row to trace and timing."""
        ...

    def checkpoint(self, state: Checkpoint) -> None:
        """Writes the rows and this state to disk, so that a crash cannot lose them."""
        ...

    def write_snapshot(self, queries: int, edit: Tensor) -> None:
        """Keeps the edit ``(1, H, W)`` recommended after ``queries``."""
        ...

    def snapshots(self) -> list[int]:
        """Query counts of the snapshots, increasing."""
        ...


def snapshot_schedule(first: int, budget: int, count: int) -> list[int]:
    """Log-spaced query counts at which a snapshot is due; the last one is the budget."""
    if count == 1:
        return [budget]
    step = (math.log(budget) - math.log(first)) / (count - 1)
    inner = [math.ceil(math.exp(math.log(first) + step * i) - 1e-9) for i in range(count - 1)]
    return [*inner, budget]


@dataclass
class Loop:
    """The main loop over one optimizer; it uses only the optimizer's contract.

    Attributes:
        optimizer: The optimizer.
        oracle: Answers the optimizer's asks.
        record: Stores rows, snapshots and checkpoints.
        due: Query counts at which snapshots are due.
        listener: Receives the progress.
        clock: Returns the run's wall time so far in seconds, for the checkpoint.
        stopped: Whether the user asked to stop; called between two asks.
        max_time: Wall time of the run in seconds after which nothing more is asked.
        reached: Scores the snapshots so far, and says whether one is good enough to end the run;
            called after each snapshot, once everything is safe on disk. ``None`` to go on anyway.
        limits: The values of the limits, by name. A run that one of them ended is over when it is
            resumed, too, unless that limit has another value now.
    """

    optimizer: Optimizer
    oracle: Oracle
    record: LoopRecord
    due: Sequence[int]
    listener: Listener
    clock: Callable[[], float]
    stopped: Callable[[], bool] = lambda: False
    max_time: float = math.inf
    reached: Callable[[], bool] | None = None
    limits: Mapping[str, float | str] = field(default_factory=dict)

    def run(self, start: Checkpoint | None = None) -> str:
        """Runs until the next batch would pass a limit; at least one batch.

        Args:
            start: The checkpoint to resume from; ``None`` to start at the beginning.

        Returns:
            The limit: ``budget`` or ``max_cost``, which the next batch would have passed, or
            ``max_time`` or ``until``, which was reached.

        Raises:
            Interrupted: ``stopped`` returned ``True``; the state is saved.
            ConfigError: The first batch exceeds the budget or ``max_cost``.
        """
        evaluator, ledger = self.oracle.evaluator, self.oracle.ledger
        encoder, objective = evaluator.encoder, evaluator.learning
        asks, seconds_before = 0, encoder.seconds
        if start is not None:
            if objective is not None:
                objective.load_state_dict(start.objective)
            self.optimizer.load_state_dict(start.optimizer)
            ledger.put(Purpose.OPTIMIZE, start.counts)
            ledger.put(Purpose.LOCAL, start.local)
            asks = start.asks
            encoder.seconds += start.encoder_seconds
            for name, value in start.ended_by.items():
                if self.limits.get(name) == value:
                    return name
        saved = time.perf_counter()
        self.listener.phase("optimize", self.oracle.budget)
        self.listener.update(ledger.optimize.queries)
        last_snapshot = max(self.record.snapshots(), default=0)

        def state() -> Checkpoint:
            return Checkpoint(
                asks,
                taken_state(self.optimizer.state_dict(), self.oracle.optimizer),
                asdict(ledger.optimize),
                encoder.seconds - seconds_before,
                self.clock(),
                objective={}
                if objective is None
                else taken_state(objective.state_dict(), evaluator.name, "objective"),
                local=asdict(ledger.local),
            )

        prepare = None
        if isinstance(self.optimizer, Preparing):
            prepare = partial(self._prepare, self.optimizer)
        refused: Checkpoint | None = None
        enough = start is not None and last_snapshot > 0 and self._enough()
        while True:
            if enough:
                ended_by = "until"
                break
            if asks and self.clock() >= self.max_time:
                ended_by = "max_time"
                break
            asked_at, encoder_at = time.perf_counter(), encoder.seconds
            before = state()
            try:
                ask = self._ask()
                answer = self.oracle.query(ask, prepare)
            except BudgetExhausted as refusal:
                if asks == 0:
                    raise ConfigError(
                        f"{refusal.limit} is too small for the first batch of this optimizer: "
                        f"{refusal}"
                    ) from refusal
                ended_by, refused = refusal.limit, before
                break
            except BaseException:
                self.record.checkpoint(before)
                raise
            asks += 1
            # before the optimizer holds the answer, which it could change
            row = _row(asks, asdict(ledger.optimize), answer)
            self.optimizer.tell(ask, answer)
            self.record.append(
                row,
                {
                    "ask": asks,
                    "seconds": time.perf_counter() - asked_at,
                    "encoder_seconds": encoder.seconds - encoder_at,
                },
            )
            queries = ledger.optimize.queries
            if any(before.counts["queries"] < due <= queries for due in self.due):
                self._snapshot(queries)
                last_snapshot = queries
                if self.reached is not None:
                    self.record.checkpoint(state())
                    encoder.settle()
                    enough = self._enough()
            self.listener.update(queries, objective=row["value_mean"])
            stopping = self.stopped()
            if time.perf_counter() - saved >= CHECKPOINT_SECONDS or stopping:
                self.record.checkpoint(state())
                encoder.settle()
                saved = time.perf_counter()
            if stopping:
                raise Interrupted("stopped between two batches; everything so far is saved")
        if last_snapshot < ledger.optimize.queries:
            self._snapshot(ledger.optimize.queries)
        # the refused ask is made again if the run is extended, so it must not have drawn numbers
        last = state() if refused is None else refused
        over = {name: value for name, value in self.limits.items() if name == ended_by}
        self.record.checkpoint(replace(last, ended_by=over))
        encoder.settle()
        return ended_by

    def _enough(self) -> bool:
        return self.reached is not None and self.reached()

    def _ask(self) -> Ask:
        with self._no_end("ask()"):
            return self.optimizer.ask()

    def _prepare(self, optimizer: Preparing) -> None:
        with self._no_end("prepare()"):
            optimizer.prepare()

    @contextmanager
    def _no_end(self, method: str) -> Iterator[None]:
        """Only the oracle may end the run for lack of budget."""
        try:
            yield
        except BudgetExhausted as error:
            raise PluginError(
                f"optimizer {self.oracle.optimizer!r}: {method} raised BudgetExhausted; only the oracle "
                "may do so"
            ) from error

    def _snapshot(self, queries: int) -> None:
        import torch

        space = self.oracle.space
        point = taken_point(self.optimizer.recommend(), self.oracle.optimizer, space.shape)
        with torch.inference_mode():
            self.record.write_snapshot(queries, space.decode(point[None])[0])


def _row(asks: int, counts: Mapping[str, int], answer: Answer) -> dict[str, Any]:
    """A row of the trace, without times, so that equal runs write equal bytes."""
    return {
        "ask": asks,
        **counts,
        "value_min": float(answer.values.min()),
        "value_mean": float(answer.values.mean()),
    }
