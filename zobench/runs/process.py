"""One process that carries out a run: its phases, its end, and the run's manifest."""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zobench.billing.account import Account, CheckedEncoder, PaidEncoder, check_service
from zobench.contracts.listener import Listener
from zobench.contracts.purpose import SENT_PURPOSES, Purpose
from zobench.contracts.run_status import RunStatus
from zobench.errors import (
    CostReached,
    EncoderError,
    Interrupted,
    ModelChanged,
    RunFailure,
    StoreError,
    ZobenchError,
)
from zobench.files.json_files import Json
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.paths import cache_folder
from zobench.records import layout
from zobench.records.checkpoint import Checkpoint
from zobench.records.inventory import take_inventory
from zobench.records.run_folder import RunFolder
from zobench.records.stored_run import StoredRun
from zobench.records.summary_line import summary_values
from zobench.registry.discovery import Registry
from zobench.registry.failure import run_failure

from .forecast import forecast_of
from .parts import Parts
from .phases import optimize, prepare
from .pictures import draw_pictures
from .recorder import AnswerRecorder
from .result_cache import ResultCache
from .resuming import restored
from .score_plan import images_left_to_score, most_images
from .score_run import RunScoring
from .shared_results import SharedResults
from .signals import Stop, stop_on_signal
from .trackers import Trackers

ROUND = 100
"""Images to which a cost that is enough is rounded up."""


def open_account(
    parts: Parts, folder: RunFolder, listener: Listener, ledger: Ledger
) -> Account | None:
    """Opens a rented encoder's account in the run folder; ``None`` for a local encoder.

    Args:
        parts: Everything that the config names.
        folder: The run folder.
        listener: Receives a note on damaged answers.
        ledger: The ledger of this process, which tells what scoring has sent meanwhile.

    Raises:
        ConfigError: ``max_cost`` cannot pay the clean images, one evaluation and the scores of ERM
            and one snapshot.
        ServiceError: The service differs from the one that the run began with.
    """
    encoder, config = parts.encoder, parts.config
    if not isinstance(encoder, PaidEncoder):
        return None
    account = Account(folder.location, encoder.spec.price, config.max_cost)
    if account.lost:
        listener.note(f"{account.lost} stored answers are damaged; their images are sent again")
    encoder.open_account(account)
    train, test = len(parts.split.train), len(parts.split.test)
    times, stored = folder.manifest().times_scored, folder.scores()
    before = 0 if stored is None else stored.counts["forward"]
    begun = folder.setup() is not None

    def to_score(asked: int) -> int:
        """Images to score ERM, the stored snapshots and one more, and to check the service."""
        counted = max(before, ledger.score.forward)
        left = images_left_to_score(config, len(folder.snapshots()), train, test, times, counted)
        checks = 0
        if isinstance(encoder, CheckedEncoder):
            # one for each set of clean images, once it is embedded
            unshared = (ledger.setup.forward == 0) + (counted == 0)
            checks = encoder.checks(asked + left) + unshared
        return left + checks

    account.set_aside(to_score, besides=0 if begun else train + parts.first_batch)
    return account


@dataclass
class RunProcess:
    """One process that carries out a run, from its last checkpoint or its beginning."""

    parts: Parts
    folder: RunFolder
    listener: Listener
    registry: Registry
    trackers: Trackers
    stop: Stop
    seconds_before: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        ledger = Ledger(self.parts.config.backward_cost)
        self.encoder = MeteredEncoder(self.parts.encoder, ledger)
        self.scorer = MeteredEncoder(self.parts.encoder, ledger)  # has a clock of its own
        cache = ResultCache(cache_folder() / "shared", self.listener.note)
        self.shared = SharedResults(cache, self._shareable)

    def carry_out(self) -> StoredRun:
        """Carries out all phases; the manifest records how the run ended, also after an error."""
        folder = shlex.quote(str(self.folder.location))
        try:
            with stop_on_signal(self.listener, self.stop):
                checkpoint = self._restored()
                self._tell_trackers()
                self._phases(checkpoint)
        except Interrupted as error:
            raise self._interrupted(error, folder) from error
        except KeyboardInterrupt as error:
            if not self.stop.asked:  # no signal came, so a plugin raised it
                raise self._failed(error) from error
            raise self._interrupted(error, folder) from error
        except (EncoderError, CostReached) as error:
            self._end_after_error(RunStatus.FAILED, error)
            more = f" --max-cost {self._enough():.12g}" if isinstance(error, CostReached) else ""
            further = f"; go on with: zobench resume {folder}{more}"
            error.args = (
                f"{error}. Everything so far is saved"
                f"{f' in {folder}' if isinstance(error, ModelChanged) else further}",
            )
            raise
        except StoreError as error:  # the folder cannot be read or written, nor the manifest
            self.trackers.tell("ended", RunStatus.FAILED, None)
            error.args = (f"{error}. Then go on with: zobench resume {folder}",)
            raise
        except ZobenchError as error:
            self._end_after_error(RunStatus.FAILED, error)
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit as well
            raise self._failed(error) from error
        result = StoredRun(self.folder.location, self.registry)
        if self.trackers:
            try:
                self.trackers.tell("ended", RunStatus.DONE, result.as_dict())
            except KeyboardInterrupt:  # nothing of the run is lost
                self.listener.note(
                    "stopped before the trackers had got all; the run itself is done"
                )
        return result

    def _enough(self) -> float:
        """The cost of the whole run at most, what is billed already and to no use included."""
        encoder, forecast = self.parts.encoder, forecast_of(self.parts, None)
        assert isinstance(encoder, PaidEncoder)
        bill, price = encoder.account.bill, encoder.spec.price
        used = sum(
            bill.usage[purpose].images_billed for purpose in SENT_PURPOSES if purpose in bill.usage
        )
        outlook = self.parts.resolved.encoder.outlook
        checks = forecast_of(self.parts, None, outlook).check
        config, times = self.parts.config, self.folder.manifest().times_scored
        sizes = len(self.parts.split.train), len(self.parts.split.test)
        first, whole = (
            most_images(config, count * config.snapshots, *sizes, count) for count in (1, times)
        )  # an extended run scores more edits than the forecast knows of
        left = max(0, forecast.images + whole - first - used)
        images = bill.total().images_payable + left + checks
        return math.ceil(images / ROUND) * ROUND * price

    def _interrupted(self, error: BaseException, folder: str) -> Interrupted:
        self._end_after_error(RunStatus.INTERRUPTED, error)
        return Interrupted(
            f"stopped; everything so far is saved. Go on with: zobench resume {folder}"
        )

    def _failed(self, error: BaseException) -> RunFailure:
        """Records an exception that zobench does not know, and its traceback."""
        failure = run_failure(error, self.folder.location / layout.TRACEBACK)
        self._end_after_error(RunStatus.FAILED, failure)
        return failure

    def _restored(self) -> Checkpoint | None:
        """The checkpoint to go on from."""
        rented = isinstance(self.parts.encoder, PaidEncoder)
        return restored(self.folder, rented=rented, listener=self.listener)

    def _tell_trackers(self) -> None:
        """Tells trackers of the rows that are there, and of each later row once it is safe."""
        rows = self.folder.trace()
        self.trackers.tell("started", self.folder.manifest().as_json(), rows)

        def committed(rows: list[Json], snapshots: list[tuple[int, Path]]) -> None:
            if rows:
                self.trackers.tell("rows", rows)
            for queries, path in snapshots:
                self.trackers.tell("snapshot", queries, path)

        self.folder.committed = committed

    def _phases(self, checkpoint: Checkpoint | None) -> None:
        parts, folder, encoder = self.parts, self.folder, self.encoder
        if checkpoint is not None:
            self.seconds_before = max(self.seconds_before, checkpoint.wall_seconds)
            encoder.ledger.put(Purpose.OPTIMIZE, checkpoint.counts)
        encoder.meter = self.scorer.meter = open_account(
            parts, folder, self.listener, encoder.ledger
        )
        prepared = prepare(parts, encoder, folder, self.shared, self.listener, self.stop)
        recorder = AnswerRecorder(folder.location) if folder.manifest().recorded else None
        scoring = RunScoring(
            parts,
            prepared.training,
            prepared.test,
            self.scorer,
            folder,
            self.shared,
            self.listener,
            self.stop,
        )
        ended_by = optimize(
            parts,
            prepared,
            encoder,
            folder,
            self.listener,
            clock=self._clock,
            stopped=self.stop,
            checkpoint=checkpoint,
            recorder=recorder,
            reached=scoring.reached if parts.config.until else None,
        )
        scoring.score()
        check_service(parts.encoder)
        draw_pictures(folder, prepared.test, parts.dataset.spec.groups)
        summary = summary_values(StoredRun(folder.location, self.registry))
        self._end(RunStatus.DONE, summary=summary, ended_by=ended_by)

    def _shareable(self) -> bool:
        """Whether what was embedded so far may be shared with other runs, after a check of a service.

        Answers that an earlier process received are not shared: the service may have been another one
        then.
        """
        encoder = self.parts.encoder
        check_service(encoder)
        return not (isinstance(encoder, PaidEncoder) and encoder.account.inherited)

    def _end_after_error(self, status: RunStatus, why: BaseException) -> None:
        """Records the end; a manifest that cannot be written never hides the cause."""
        named = str(why) if isinstance(why, RunFailure) else f"{type(why).__name__}: {why}"
        error = None if status is RunStatus.INTERRUPTED else named
        try:
            self._end(status, error=error)
        except StoreError as another:
            why.add_note(str(another))
            self.listener.note(f"the end of the run could not be recorded: {another}")
            self.trackers.tell("ended", status, None)

    def _end(self, status: RunStatus, **notes: Any) -> None:
        """Writes all figures first and the status last; a run that is done stays done."""
        before, done = self.folder.manifest(), status is RunStatus.DONE
        if before.status is RunStatus.DONE:  # stopped by the user just after the end
            return
        manifest = before.changed(
            ledger=self.encoder.ledger.as_dict(),
            encoder_seconds=self.encoder.seconds + self.scorer.seconds,
            wall_seconds=self._clock(),
            reused=self.shared.reused,
            files=take_inventory(self.folder.location, done=done),
            **notes,
        )
        self.folder.write_manifest(manifest)
        self.folder.write_manifest(manifest.changed(status=status))
        if not done:
            self.trackers.tell("ended", status, None)

    def _clock(self) -> float:
        """Wall time of the run so far in seconds, summed over all its processes."""
        return self.seconds_before + time.perf_counter() - self.began
