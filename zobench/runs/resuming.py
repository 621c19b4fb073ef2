"""Checks before a run is resumed: the same parts as before, and an undamaged folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zobench.contracts.listener import Listener
from zobench.contracts.parameters import cut, declarations
from zobench.errors import ConfigError, DamagedError
from zobench.files.atomic import missing
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.checkpoint import Checkpoint
from zobench.records.identity import borrowed
from zobench.records.inventory import require_stored
from zobench.records.manifest import Manifest
from zobench.records.run_folder import RunFolder
from zobench.registry.discovery import Registry

from .parts import Parts
from .provenance import new_manifest
from .resolved import resolve_config

ENCODER = "encoder"
"""The owner whose incidental parameters may change when a run goes on."""

COVERED = (layout.TRACE, str(layout.CHECKPOINT))
"""Files beside the snapshots without which a run cannot go on from its checkpoint."""

NO_RESULTS = (layout.TIMING, layout.EDIT, layout.EDIT_PICTURE, layout.IMAGES_PICTURE)
"""Files that are drawn or measured anew, whatever the encoder costs."""


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

    for name, before, after in (
        ("encoder", manifest.encoder.digest, now.encoder.digest),
        ("local encoder", *(borrowed(recorded) for recorded in (manifest, now))),
        ("dataset", manifest.dataset.digest, now.dataset.digest),
        ("split", manifest.split.digest, now.split.digest),
        ("set of parameters", manifest.parameters, now.parameters),
        ("device", setting(manifest, "device"), setting(now, "device")),
        ("precision", setting(manifest, "precision"), setting(now, "precision")),
    ):
        if before != after:
            known = (
                "; perhaps images found unreadable are left out since" if name == "dataset" else ""
            )
            raise ConfigError(
                f"the {name} is not what it was when {place} began ({before}, now {after}{known}); "
                "restore it to resume, or start a new run"
            )
    for name, version in manifest.versions.items():
        if now.versions.get(name) != version:
            listener.note(
                f"{name} was {version} when this run began and is {now.versions.get(name)} now: "
                "the last bit may differ"
            )


def with_overrides(
    manifest: Manifest, overrides: Mapping[str, Mapping[str, Any]], registry: Registry
) -> Manifest:
    """The manifest of a run that goes on with other settings of its encoder, such as a service's.

    Args:
        manifest: The manifest that the run would go on with.
        overrides: Values by name, for the owner ``encoder``.
        registry: Installed plugins.

    Raises:
        ConfigError: A parameter is of another owner, unknown or out of its range, can change a result,
            is the price, which the bill is made of, or is a setting that a local encoder keeps.
    """
    for owner in overrides:
        if owner != ENCODER:
            raise ConfigError(
                f"a run that goes on takes settings of its encoder only, not of {cut(owner)}; for "
                "others, start a new run"
            )
    settings, before = overrides.get(ENCODER, {}), manifest.encoder.settings
    changed = manifest.config.with_settings(ENCODER, **settings)
    after = resolve_config(changed, registry).encoder
    declared = declarations(type(after.parameters))
    # those of a local encoder, such as its chunk, decide the last bits of embeddings
    kept = {"price", *(before if after.outlook is None else ())}
    free = [name for name in declared if declared[name].incidental and name not in kept]
    for name in settings:
        if name not in free:
            why = "is what its bill is made of" if name == "price" else "can change results"
            raise ConfigError(
                f"encoder.{name} {why}, so a run keeps the value that it began with; it can go on with "
                f"other values of {', '.join(free) or 'no parameter'}. Start a new run, or leave it out"
            )
    left = {name: value for name, value in before.items() if name not in settings}
    encoder = replace(manifest.encoder, settings=left)
    return manifest.changed(config=changed, encoder=encoder)


def restored(folder: RunFolder, *, rented: bool, listener: Listener) -> Checkpoint | None:
    """The checkpoint of a run to resume.

    If the encoder runs here, whatever is damaged or missing is computed anew, with a note. A rented
    encoder would have to be paid again, so the damage is an error.

    Args:
        folder: The run folder.
        rented: Whether the encoder is rented.
        listener: Receives a note on everything that is computed anew.

    Returns:
        The checkpoint; ``None`` if the run begins anew.

    Raises:
        DamagedError: A file is damaged or missing, and the encoder is rented.
        StoreError: A file cannot be read or written.
    """
    manifest = folder.manifest()
    faults = _faults(folder.location, manifest.files)
    if rented:
        for name, fault in faults.items():
            if name not in NO_RESULTS:
                raise fault
    # from here on the folder changes, so that the inventory no longer holds
    folder.write_manifest(manifest.changed(files={}))

    def told(error: DamagedError, mending: str) -> None:
        if rented:
            raise error
        listener.note(f"{error.fault}; {mending}")

    try:
        for name in faults:
            if name in COVERED or name.startswith(f"{layout.SNAPSHOTS}/"):
                raise faults[name]
        checkpoint = folder.restore()
    except DamagedError as error:
        told(error, "the run begins anew")
        folder.start_over()
        checkpoint = None
        faults.pop(layout.SCORES, None)  # removed with the rest
    try:
        if layout.TIMING in faults:
            raise faults[layout.TIMING]
        folder.restore_timing(checkpoint)
    except DamagedError as error:  # times are no result
        listener.note(f"{error.fault}; the times so far are lost")
        folder.start_timing_over()
    for name, read, mending in (
        (layout.SETUP, folder.setup, "the clean images are embedded anew"),
        (layout.SCORES, folder.scores, "the edits are scored anew"),
    ):
        try:
            if name in faults:
                raise faults[name]
            if read() is None and name == layout.SETUP and checkpoint is not None:
                raise missing(folder.location / name)
        except DamagedError as error:
            told(error, mending)
            folder.remove(name)
    return checkpoint


def _faults(folder: Location, files: Mapping[str, str]) -> dict[str, DamagedError]:
    """The files of an inventory that are damaged or missing."""
    faults = {}
    for name in files:
        try:
            require_stored(folder, files, name)
        except DamagedError as error:
            faults[name] = error
    return faults
