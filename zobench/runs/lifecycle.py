"""Starts a run in a new folder, or goes on with a run that was interrupted, failed or killed."""

from __future__ import annotations

import datetime
import secrets
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zobench.billing.account import Account, PaidEncoder
from zobench.config import RunConfig
from zobench.contracts.listener import Listener, Silence
from zobench.contracts.purpose import Purpose
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError, CostReached, EncoderError, Interrupted, StoreError
from zobench.files.atomic import disk_errors
from zobench.files.json_files import Json
from zobench.files.location import Location, Place
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.paths import cache_folder
from zobench.records.checkpoint import Checkpoint
from zobench.records.layout import is_run
from zobench.records.manifest import Manifest, read_manifest
from zobench.records.run_folder import RunFolder
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .parts import Parts, make_parts
from .phases import optimize, prepare, score
from .pictures import draw_pictures
from .provenance import new_manifest
from .recorder import AnswerRecorder
from .result_cache import ResultCache
from .shared_results import SharedResults
from .signals import Stop, stop_on_signal
from .trackers import Trackers, make_trackers


def start_run(
    config: RunConfig,
    out: Place,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    record: bool = False,
) -> StoredRun:
    """Carries out a new run in a new folder under ``out``.

    Args:
        config: The config of the run.
        out: Folder of run folders.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        trackers: Trackers that receive the events of the run, each ``name`` or ``name:argument``.
        record: Whether to store all answers of the oracle, see :mod:`zobench.runs.recorder`.

    Raises:
        ZobenchError: See :mod:`zobench.errors`; the folder keeps every result up to the error.
    """
    listener = listener or Silence()
    registry = registry or load_registry()
    for name in trackers:
        registry.find("trackers", name)
    with ExitStack() as opened:
        parts = make_parts(config, registry, listener)
        opened.callback(parts.encoder.close)
        folder = RunFolder(_new_folder(Location.of(out), config))
        opened.callback(folder.close)
        return _begin(parts, folder, listener, registry, trackers, record)


def carry_out(
    config: RunConfig,
    place: Place,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    stop: Stop | None = None,
    alone: bool = False,
) -> StoredRun:
    """Starts or resumes the run in a given folder until it is done; a finished run is only read.

    Args:
        config: The config of the run.
        place: The run folder.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        trackers: Names of the trackers that receive the events of the run.
        stop: Becomes true when the run must save its state and stop.
        alone: Whether no other process can write to the folder; it is then not locked.

    Raises:
        BusyError: Another process writes to it.
        ZobenchError: See :mod:`zobench.errors`; the folder keeps every result up to the error.
    """
    listener, registry = listener or Silence(), registry or load_registry()
    if not is_run(place):
        with ExitStack() as opened:
            parts = make_parts(config, registry, listener)
            opened.callback(parts.encoder.close)
            folder = RunFolder(place, alone)
            opened.callback(folder.close)
            if not is_run(place):  # another process may have been quicker
                return _begin(parts, folder, listener, registry, trackers, stop=stop)
    return resume_run(
        place, registry=registry, listener=listener, trackers=trackers, stop=stop, alone=alone
    )


def _begin(
    parts: Parts,
    folder: RunFolder,
    listener: Listener,
    registry: Registry,
    trackers: Sequence[str],
    record: bool = False,
    stop: Stop | None = None,
) -> StoredRun:
    try:
        told = make_trackers(trackers, registry, folder.path, listener)
        manifest = new_manifest(parts, recorded=record)
        folder.write_manifest(manifest.changed(run_id=folder.location.name))
    except BaseException:
        folder.discard()
        raise
    return _Process(parts, folder, listener, registry, told, stop or Stop()).carry_out()


def resume_run(
    place: Place,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    encoder_url: str | None = None,
    max_cost: float | None = None,
    stop: Stop | None = None,
    alone: bool = False,
) -> StoredRun:
    """Goes on with a run that was interrupted, failed or killed; a finished one is only read.

    Args:
        place: The run folder.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        trackers: Names of the trackers that receive the events of the run.
        encoder_url: New URL of a rented encoder; ``None`` if the URL has not changed.
        max_cost: Largest sum that the rented encoder may bill over the whole run, earlier processes
            included; ``None`` for the limit in the run's config.
        stop: Becomes true when the run must save its state and stop.
        alone: Whether no other process can write to the folder; it is then not locked.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
        ConfigError: Encoder, data, parameters, device or precision differ from those that the run
            began with, or ``max_cost`` is given for a finished run that its limit ended.
    """
    listener = listener or Silence()
    read_manifest(place)
    registry = registry or load_registry()
    for name in trackers:
        registry.find("trackers", name)
    folder = RunFolder(place, alone)
    with ExitStack() as opened:
        opened.callback(folder.close)
        manifest = folder.manifest()  # read under the lock; may have changed since
        if manifest.status is RunStatus.DONE:
            if max_cost is not None and manifest.ended_by == "max_cost":
                raise ConfigError(
                    f"{folder.location} is done: max_cost {manifest.config.max_cost:g} ended its "
                    "optimizer before its budget was spent, and the last edit is scored; start a new "
                    "run with a larger --max-cost"
                )
            return StoredRun(folder.location, registry)
        config = manifest.config
        if encoder_url is not None:
            config = config.with_settings("encoder", url=encoder_url)
        if max_cost is not None:
            config = config.changed(max_cost=max_cost)
        parts = make_parts(config, registry, listener, manifest.encoder.settings)
        opened.callback(parts.encoder.close)
        check_same(manifest, parts, folder.location, listener)
        told = make_trackers(trackers, registry, folder.path, listener)
        folder.write_manifest(
            manifest.changed(
                status=RunStatus.RUNNING, error=None, resumed=manifest.resumed + 1, config=config
            )
        )
        return _Process(
            parts, folder, listener, registry, told, stop or Stop(), manifest.wall_seconds
        ).carry_out()


def check_same(manifest: Manifest, parts: Parts, place: Location, listener: Listener) -> None:
    """Raises if the parts differ from those that a run began with; notes different versions.

    Args:
        manifest: The manifest of the run.
        parts: The parts that would resume the run.
        place: The run folder.
        listener: Receives a note for each version that has changed.

    Raises:
        ConfigError: Encoder, dataset, split, parameters, device or precision differ.
    """
    now = new_manifest(parts)

    def setting(of: Manifest, key: str) -> object:
        return of.encoder.settings.get(key)

    for name, before, found in (
        ("encoder", manifest.encoder.digest, now.encoder.digest),
        ("dataset", manifest.dataset.digest, now.dataset.digest),
        ("split", manifest.split.digest, now.split.digest),
        ("set of parameters", manifest.parameters, now.parameters),
        ("device", setting(manifest, "device"), setting(now, "device")),
        ("precision", setting(manifest, "precision"), setting(now, "precision")),
    ):
        if before != found:
            raise ConfigError(
                f"the {name} is not what it was when {place} began ({before}, now {found}); restore "
                "it to resume, or start a new run"
            )
    for name, version in manifest.versions.items():
        if now.versions.get(name) != version:
            listener.note(
                f"{name} was {version} when this run began and is {now.versions.get(name)} now: "
                "the last bit may differ"
            )


def open_account(parts: Parts, folder: RunFolder) -> Account | None:
    """Opens a rented encoder's account in the run folder; ``None`` for a local encoder.

    Raises:
        ConfigError: ``max_cost`` cannot pay the clean images, one evaluation and the scores of ERM
            and one snapshot.
        ServiceError: The service differs from the one that the run began with.
    """
    encoder, config = parts.encoder, parts.config
    if not isinstance(encoder, PaidEncoder):
        return None
    account = Account(folder.location, encoder.spec.price, config.max_cost)
    encoder.open_account(account)
    train, test = len(parts.split.train), len(parts.split.test)

    def to_score() -> int:
        """Images to embed to score ERM, the stored snapshots, and one snapshot more."""
        return test + (train + test) * (len(folder.snapshots()) + 1)

    begun = folder.setup() is not None
    account.set_aside(to_score, besides=0 if begun else train + config.batch_size)
    return account


@dataclass
class _Process:
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
        self.shared = SharedResults(ResultCache(cache_folder() / "shared"))

    def carry_out(self) -> StoredRun:
        """Carries out all phases; the manifest records how the run ended, also after an error."""
        folder = shlex.quote(str(self.folder.location))
        try:
            with stop_on_signal(self.listener, self.stop):
                checkpoint = self.folder.restore()
                self._tell_trackers()
                self._phases(checkpoint)
        except (Interrupted, KeyboardInterrupt) as error:
            self._end_after_error(RunStatus.INTERRUPTED, error)
            raise Interrupted(
                f"stopped; everything so far is saved. Go on with: zobench resume {folder}"
            ) from error
        except (EncoderError, CostReached) as error:
            self._end_after_error(RunStatus.FAILED, error)
            more = " --max-cost MORE" if isinstance(error, CostReached) else ""
            error.args = (
                f"{error}. Everything so far is saved; go on with: zobench resume {folder}{more}",
            )
            raise
        except StoreError as error:  # the folder cannot be read or written, nor the manifest
            self.trackers.tell("ended", RunStatus.FAILED, None)
            error.args = (f"{error}. Then go on with: zobench resume {folder}",)
            raise
        except Exception as error:
            self._end_after_error(RunStatus.FAILED, error)
            raise
        with suppress(StoreError):  # the run is done, with or without its old checkpoint
            self.folder.drop_checkpoint()
        result = StoredRun(self.folder.location, self.registry)
        if self.trackers:
            self.trackers.tell("ended", RunStatus.DONE, result.as_dict())
        return result

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
        encoder.meter = open_account(parts, folder)
        prepared = prepare(parts, encoder, folder, self.shared, self.listener, self.stop)
        recorder = AnswerRecorder(folder.location) if folder.manifest().recorded else None
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
        )
        score(parts, prepared, encoder, folder, self.shared, self.listener, self.stop)
        draw_pictures(folder, prepared.test, parts.dataset.spec.groups)
        summary = StoredRun(folder.location, self.registry).point_values()
        self._end(RunStatus.DONE, summary=summary, ended_by=ended_by)

    def _end_after_error(self, status: RunStatus, why: BaseException) -> None:
        """Records the end; a manifest that cannot be written never hides the cause."""
        error = None if status is RunStatus.INTERRUPTED else f"{type(why).__name__}: {why}"
        try:
            self._end(status, error=error)
        except StoreError as another:
            why.add_note(str(another))
            self.listener.note(f"the end of the run could not be recorded: {another}")
            self.trackers.tell("ended", status, None)

    def _end(self, status: RunStatus, **notes: Any) -> None:
        """Writes all figures first and the status last; a run that is done stays done."""
        before = self.folder.manifest()
        if before.status is RunStatus.DONE:  # stopped by the user just after the end
            return
        manifest = before.changed(
            ledger=self.encoder.ledger.as_dict(),
            encoder_seconds=self.encoder.seconds,
            wall_seconds=self._clock(),
            reused=self.shared.reused,
            **notes,
        )
        self.folder.write_manifest(manifest)
        self.folder.write_manifest(manifest.changed(status=status))
        if status is not RunStatus.DONE:
            self.trackers.tell("ended", status, None)

    def _clock(self) -> float:
        """Wall time of the run so far in seconds, summed over all its processes."""
        return self.seconds_before + time.perf_counter() - self.began


def _new_folder(out: Location, config: RunConfig) -> Location:
    """Makes a run folder named by the time, :func:`slug` and a random suffix."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    place = out / f"{now}-{slug(config)}-{secrets.token_hex(2)}"
    with disk_errors(out):
        place.path.mkdir(parents=True)
    return place


def slug(config: RunConfig) -> str:
    """The part of a folder's name that gives optimizer, encoder, dataset, disease and seed."""
    words = "-".join([config.optimizer, config.encoder, config.dataset, config.disease])
    return f"{words}-s{config.seed}".replace(":", "_").replace("/", "_").replace(" ", "_")
