"""The inventory of a run folder: the checksums of its files, which the manifest keeps.

A file that is lost or exchanged holds no wrong checksum of its own; the inventory notices it.
"""

from __future__ import annotations

from collections.abc import Mapping

from zobench.billing.bill import BILL
from zobench.files.atomic import damaged, disk_errors, missing
from zobench.files.checksums import checksum
from zobench.files.location import Location
from zobench.files.regular import content_of

from . import layout

SINGLE = (
    layout.TRACE,
    layout.TIMING,
    layout.IMAGES,
    layout.SETUP,
    layout.SCORES,
    str(layout.CHECKPOINT),
    BILL,
    layout.EDIT,
    layout.EDIT_PICTURE,
    layout.IMAGES_PICTURE,
)
"""Files of which a run folder has one; the recorded answers hold their own checksums only."""


def take_inventory(folder: Location, *, done: bool) -> dict[str, str]:
    """The checksum of each file of a run folder, by its relative name.

    Args:
        folder: The run folder.
        done: Whether the run is done. The bill of another one is left out: answers to requests that
            were sent before it was stopped may still come, and it has checksums of its own.

    Raises:
        StoreError: A file cannot be read.
    """
    snapshots = [layout.snapshot_name(queries) for queries in layout.snapshot_queries(folder.path)]
    names = [name for name in (*SINGLE, *snapshots) if done or name != BILL]
    with disk_errors(folder):
        return {
            name: checksum(content_of(folder / name))
            for name in names
            if (folder / name).path.exists()
        }


def require_stored(folder: Location, files: Mapping[str, str], name: str) -> None:
    """Compares one file with the inventory; a file that is not in the inventory may be anything.

    Args:
        folder: The run folder.
        files: The inventory of the folder.
        name: Relative name of the file.

    Raises:
        DamagedError: The file is missing, or is not the file that was stored.
    """
    if name not in files:
        return
    place = folder / name
    if not place.path.exists():
        raise missing(place)
    with disk_errors(place):
        if checksum(content_of(place)) != files[name]:
            raise damaged(place, "its content is not what the manifest says")
