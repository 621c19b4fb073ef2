"""Starts a run in a new folder, or goes on with one that was interrupted, failed or killed."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zobench.files import files
from zobench.records import run_folder as store
from .parts import Parts, make_parts
from zobench.config import RunConfig, config_from_json
from zobench.errors import ConfigError
from zobench.oracle.ledger import Ledger
from zobench.registry.discovery import Registry, load_registry
from zobench.contracts.listener import Listener, Silence
from .provenance import provenance
from zobench.records.result import RunResult, read_result
from .phases import Session
from .signals import Stop
from zobench.contracts.tracker import make_trackers


def start_run(
    config: RunConfig,
    out: Path,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    record: bool = False,
) -> RunResult:
    """Carries out a new run in a new folder under ``out``.

    Args:
        config: What to run.
        out: Folder of run folders.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        trackers: Names of trackers to be told of the run, each ``name`` or ``name:argument``.
        record: Whether to keep all answers, see :mod:`zobench.runs.recorder`.

    Raises:
        ZobenchError: See :mod:`zobench.errors`; whatever was computed is in the folder.
    """
    listener = listener or Silence()
    registry = registry or load_registry()
    for name in trackers:
        registry.find("trackers", name)
    parts = make_parts(config, registry, listener)
    folder = store.RunFolder(_new_folder(out, config))
    return _begin(config, parts, folder, listener, registry, trackers, record)


def carry_out(
    config: RunConfig,
    path: Path,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    stop: Stop | None = None,
    alone: bool = False,
) -> RunResult:
    """A run in a folder of its own, whatever lies there: nothing, a beginning, or all of it.

    Args:
        config: What to run.
        path: Its folder.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        trackers: Names of trackers to be told of the run.
        stop: Asks to save and stop.
        alone: Nobody else can know of the folder, so it need not be locked.

    Raises:
        BusyError: Another process is at it.
        ZobenchError: See :mod:`zobench.errors`; whatever was computed is in the folder.
    """
    listener, registry = listener or Silence(), registry or load_registry()

    def go_on() -> RunResult:
        return resume_run(
            path, registry=registry, listener=listener, trackers=trackers, stop=stop, alone=alone
        )

    if store.is_run(path):
        return go_on()
    parts = make_parts(config, registry, listener)
    folder = store.RunFolder(path, alone)
    if store.is_run(path):  # another process was quicker
        folder.close()
        parts.encoder.close()
        return go_on()
    return _begin(config, parts, folder, listener, registry, trackers, stop=stop)


def new_manifest(config: RunConfig, parts: Parts) -> files.Json:
    """All that is known of a run before it begins."""
    return {
        "schema": store.SCHEMA,
        "status": "running",
        "config": config.as_dict(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "resumed": 0,
        "wall_seconds": 0.0,
        "encoder_seconds": 0.0,
        "ledger": Ledger(config.backward_cost).as_dict(),
        **provenance(parts),
    }


def _begin(
    config: RunConfig,
    parts: Parts,
    folder: store.RunFolder,
    listener: Listener,
    registry: Registry,
    trackers: Sequence[str],
    record: bool = False,
    stop: Stop | None = None,
) -> RunResult:
    try:
        told = make_trackers(trackers, registry, folder.path, listener)
    except BaseException:
        parts.encoder.close()
        folder.discard()
        raise
    manifest = {**new_manifest(config, parts), "recorded": record}
    folder.write_manifest(run_id=folder.path.name, **manifest)
    session = Session(
        config, parts, folder, listener, trackers=told, record=record, stop=stop or Stop()
    )
    return session.carry_out()


def resume_run(
    path: Path,
    *,
    registry: Registry | None = None,
    listener: Listener | None = None,
    trackers: Sequence[str] = (),
    encoder_url: str | None = None,
    max_cost: float | None = None,
    stop: Stop | None = None,
    alone: bool = False,
) -> RunResult:
    """Goes on with a run that was interrupted, failed or killed; a finished one is only read.

    Args:
        path: Its folder.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Told of progress.
        trackers: Names of trackers to be told of the run.
        encoder_url: Where a rented encoder is now; ``None`` if where it was.
        max_cost: What it may bill in all; ``None`` for what was allowed before.
        stop: Asks to save and stop.
        alone: Nobody else can know of the folder, so it need not be locked.

    Raises:
        ZobenchError: See :mod:`zobench.errors`.
        ConfigError: Encoder or dataset are not what they were when the run began.
    """
    listener = listener or Silence()
    store.read_manifest(path)
    folder = store.RunFolder(path, alone)
    try:
        manifest = store.read_manifest(path)  # as the last writer left it
        if manifest["status"] == "done":
            if max_cost is not None and manifest.get("ended_by") == "max_cost":
                raise ConfigError(
                    f"{path} is done: max_cost {manifest['config']['max_cost']:g} ended its optimizer "
                    "before its budget was spent, and what it found is scored; start a new run with "
                    "a larger --max-cost"
                )
            return read_result(path)
        config = config_from_json(manifest["config"])
        registry = registry or load_registry()
        if encoder_url is not None:
            config = config.with_settings("encoder", url=encoder_url)
        if max_cost is not None:
            config = config.changed(max_cost=max_cost)
        parts = make_parts(config, registry, listener, manifest["encoder"]["settings"])
        check_same(manifest, parts, path, listener)
        told = make_trackers(trackers, registry, path, listener)
        resumed = manifest["resumed"] + 1
        told_anew = config.as_dict()
        folder.write_manifest(status="running", error=None, resumed=resumed, config=told_anew)
        seconds, record = manifest["wall_seconds"], manifest.get("recorded", False)
        asked = stop or Stop()
        return Session(config, parts, folder, listener, seconds, told, record, asked).carry_out()
    finally:
        folder.close()


def check_same(manifest: Mapping[str, Any], parts: Parts, path: Path, listener: Listener) -> None:
    """Refuses parts other than those that a run began with; notes other versions.

    Raises:
        ConfigError: Data, weights, device, precision or parameters are not what they were.
    """
    now = provenance(parts)
    for name, before, found in (
        ("encoder", manifest["encoder"]["digest"], now["encoder"]["digest"]),
        ("dataset", manifest["dataset"]["digest"], now["dataset"]["digest"]),
        ("split", manifest["split"]["digest"], now["split"]["digest"]),
        ("set of parameters", manifest["parameters"], now["parameters"]),
        ("device", *_places(manifest["encoder"], now["encoder"], "device")),
        ("precision", *_places(manifest["encoder"], now["encoder"], "precision")),
    ):
        if before != found:
            raise ConfigError(
                f"the {name} is not what it was when {path} began ({before}, now {found}); restore "
                "it to resume, or start a new run"
            )
    for name, before in manifest["versions"].items():
        if now["versions"].get(name) != before:
            listener.note(
                f"{name} was {before} when this run began and is {now['versions'].get(name)} now: "
                "the last bit may differ"
            )


def _places(before: Mapping[str, Any], now: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    return before["settings"].get(key), now["settings"].get(key)


def _new_folder(out: Path, config: RunConfig) -> Path:
    """A folder name that tells the run and is nobody else's."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    path = out / f"{now}-{slug(config)}-{secrets.token_hex(2)}"
    with files.disk_errors(out):
        path.mkdir(parents=True)
    return path


def slug(config: RunConfig) -> str:
    """What a folder's name tells of a run."""
    words = "-".join([config.optimizer, config.encoder, config.dataset, config.disease])
    return f"{words}-s{config.seed}".replace(":", "_").replace("/", "_").replace(" ", "_")
