"""Starts a run in a new folder, or goes on with a run that was interrupted, failed or killed."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from zobench.billing.account import close
from zobench.config import RunConfig
from zobench.contracts.listener import Listener, Silence
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.files.atomic import disk_errors, require_writable
from zobench.files.location import Location, Place
from zobench.records.identity import slug
from zobench.records.layout import is_run, require_folder_of_runs
from zobench.records.manifest import read_manifest
from zobench.records.run_folder import RunFolder
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import Registry, load_registry

from .affording import require_affordable
from .extending import extended
from .forecast import announce, require_folder_read
from .parts import Parts, make_parts
from .phases import require_same_pixels
from .process import RunProcess
from .process_state import restored_state
from .provenance import new_manifest
from .resolved import check_unloaded, of_a_stored_run, resolve_config
from .resuming import check_same, with_overrides
from .signals import Stop
from .trackers import make_trackers


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
    listener, place = listener or Silence(), Location.of(out).absolute()
    require_writable(place)
    require_folder_of_runs(place)
    registry = registry or load_registry()
    check_unloaded(config, registry)
    for name in trackers:
        registry.find("trackers", name)
    with ExitStack() as opened:
        opened.enter_context(restored_state(listener.note))
        announce(config, registry, listener)
        parts = make_parts(config, registry, listener)
        for encoder in parts.encoders:
            opened.callback(close, encoder, listener)
        require_folder_read(parts)
        folder = RunFolder(_new_folder(place, config))
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
    place = Location.of(place).absolute()
    if not is_run(place):
        with ExitStack() as opened:
            opened.enter_context(restored_state(listener.note))
            announce(config, registry, listener)
            parts = make_parts(config, registry, listener)
            for encoder in parts.encoders:
                opened.callback(close, encoder, listener)
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
    return RunProcess(parts, folder, listener, registry, told, stop or Stop()).carry_out()


def resume_run(
    place: Place,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    max_cost: float | None = None,
    max_time: float | None = None,
    budget: int | None = None,
    stop: Stop | None = None,
    alone: bool = False,
) -> StoredRun:
    """Goes on with a run that was interrupted, failed or killed, or whose limit is raised.

    A finished run is only read otherwise.

    Args:
        place: The run folder.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        trackers: Names of the trackers that receive the events of the run.
        overrides: Other values of the parameters that say how a service is used, such as its address
            or the images of a request, by owner (``encoder``) and name.
        max_cost: Largest sum that the rented encoder may bill over the whole run, earlier processes
            included; ``None`` for the limit in the run's config.
        max_time: Wall time of the whole run in seconds after which the optimizer is asked no more;
            ``None`` for the limit in the run's config.
        budget: Queries that the optimizer may spend over the whole run; ``None`` for the budget in
            the run's config.
        stop: Becomes true when the run must save its state and stop.
        alone: Whether no other process can write to the folder; it is then not locked.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
        ConfigError: Encoder, data, parameters, device or precision differ from those that the run
            began with, or the run cannot be extended, see :func:`zobench.runs.extending.extended`.
        DamagedError: A finished run that is to be extended is damaged.
    """
    listener, place, stop = listener or Silence(), Location.of(place).absolute(), stop or Stop()
    stored = read_manifest(place)
    registry = registry or load_registry()
    for name in trackers:
        registry.find("trackers", name)
    limits = {"budget": budget, "max_cost": max_cost, "max_time": max_time}
    if stored.status is RunStatus.DONE and not any(limit is not None for limit in limits.values()):
        if overrides:
            raise ConfigError(
                f"{place} is finished, so other settings of its encoder change nothing; leave them out, "
                "or extend the run with a larger budget"
            )
        return StoredRun(place, registry)  # only read, so its folder need not be writable
    folder = RunFolder(place, alone)
    with ExitStack() as opened:
        opened.callback(folder.close)
        opened.enter_context(restored_state(listener.note))
        manifest = folder.manifest()  # read under the lock; may have changed since
        with of_a_stored_run(manifest, registry):
            begun = extended(manifest, limits, folder.location, registry)
            if begun is None:
                return StoredRun(folder.location, registry)
            if overrides:
                begun = with_overrides(begun, overrides, registry)
            resolve_config(begun.config, registry)
        finished = manifest.status is RunStatus.DONE
        if finished:  # damage must not cost what is there
            StoredRun(folder.location, registry).files.require_whole()
        if not manifest.resumable:
            raise ConfigError(
                f"{folder.location} cannot go on: the model of its service is not the one that the run "
                "began with; start a new run"
            )
        require_affordable(manifest, begun, folder, registry)
        manifest, config = begun, begun.config
        parts = make_parts(config, registry, listener, manifest)
        for encoder in parts.encoders:
            opened.callback(close, encoder, listener)
        check_same(manifest, parts, folder.location, listener)
        if finished:
            require_same_pixels(parts, folder, listener, stop)
        told = make_trackers(trackers, registry, folder.path, listener)
        used = replace(manifest.encoder, settings=new_manifest(parts).encoder.settings)
        folder.write_manifest(
            manifest.changed(
                status=RunStatus.RUNNING,
                error=None,
                resumed=manifest.resumed + 1,
                config=config,
                encoder=used if overrides else manifest.encoder,
            )
        )
        return RunProcess(
            parts, folder, listener, registry, told, stop, manifest.wall_seconds
        ).carry_out()


def _new_folder(out: Location, config: RunConfig) -> Location:
    """Makes a run folder named by the time, :func:`slug` and a random suffix."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    place = out / f"{now}-{slug(config)}-{secrets.token_hex(2)}"
    with disk_errors(out):
        place.path.mkdir(parents=True)
    return place
