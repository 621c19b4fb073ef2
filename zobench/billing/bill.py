"""The bill of a rented encoder: requests sent, answers received, images that may be charged.

The bill is ``bill.jsonl`` in the run folder. A ``sent`` row is written before each request, and an
``answered`` or ``failed`` row once the outcome is known. A request without an outcome, because
the process was killed, counts as possibly billed. After each row, ``bill.end`` is set to the number
of rows and the checksum of the last one, so that a bill that was cut short is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zobench.contracts.purpose import Purpose
from zobench.files.atomic import damage, damaged, disk_errors, missing, sync_folder
from zobench.files.json_files import Json
from zobench.files.location import Location, Place
from zobench.files.regular import CREATE, content_of, opened
from zobench.files.row_files import StoredRows, read_rows

BILL = "bill.jsonl"
BILL_END = "bill.end"
"""The file with the number of rows of the bill and the checksum of the last one."""


@dataclass
class Usage:
    """The requests to a service for one purpose.

    Attributes:
        requests: Attempts, retries and those that found no connection included.
        retries: Requests that repeated one that had failed.
        images_sent: Images in requests that were sent.
        images_billed: Images in answered requests, which are certainly billed.
        images_maybe_billed: Images in failed requests that may be billed, because the service
            may have computed the answer, such as after a time-out.
        bytes_sent: Total size of the bodies of sent requests.
        bytes_received: Total size of the bodies of answers.
    """

    requests: int = 0
    retries: int = 0
    images_sent: int = 0
    images_billed: int = 0
    images_maybe_billed: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def images_payable(self) -> int:
        """Images that are billed or may be billed."""
        return self.images_billed + self.images_maybe_billed


@dataclass(frozen=True)
class Bill:
    """All requests of a run to a service.

    Attributes:
        usage: By purpose.
        price: The price of an image; 0 where no price was set.
    """

    usage: Mapping[Purpose, Usage]
    price: float

    def total(self) -> Usage:
        """Totals over all purposes."""
        total = Usage()
        for usage in self.usage.values():
            for name, value in asdict(usage).items():
                setattr(total, name, getattr(total, name) + value)
        return total

    def as_dict(self) -> dict[str, Any]:
        """The bill as a JSON object."""
        total = self.total()
        return {
            **{purpose.value: asdict(usage) for purpose, usage in self.usage.items()},
            "total": asdict(total),
            "price": self.price,
            "cost": total.images_billed * self.price,
            "cost_at_most": total.images_payable * self.price,
        }


class Tally:
    """Adds up the rows of a bill.

    Attributes:
        usage: By purpose.
        open: The ``sent`` rows of requests without an outcome, by request number.
        requests: The number that the next request gets.
    """

    def __init__(self) -> None:
        self.usage: dict[Purpose, Usage] = {purpose: Usage() for purpose in Purpose}
        self.open: dict[int, Json] = {}
        self.requests = 0

    def read(self, folder: Location) -> StoredRows:
        """Adds the rows of the bill in a folder, and returns them.

        Raises:
            DamagedError: The bill is damaged, cut short or missing.
            StoreError: The bill cannot be read.
        """
        place = folder / BILL
        stored = read_rows(place)
        _require_end(folder, stored)
        with damage(place):
            for row in stored.rows:
                self.add(row)
        return stored

    def add(self, row: Json) -> None:
        """Adds a row."""
        if row["is"] == "sent":
            self.open[row["request"]] = row
            self.requests = row["request"] + 1
            usage = self.usage[row["for"]]
            usage.requests += 1
            usage.retries += row["retry"]
            usage.images_sent += row["images"]
            usage.bytes_sent += row["bytes"]
            return
        sent = self.open.pop(row["request"])
        usage = self.usage[sent["for"]]
        if row["is"] == "answered":
            usage.images_billed += sent["images"]
            usage.bytes_received += row["bytes"]
        elif row["maybe_billed"]:
            usage.images_maybe_billed += sent["images"]
        elif not row.get("left", True):
            usage.images_sent -= sent["images"]
            usage.bytes_sent -= sent["bytes"]

    def close(self) -> None:
        """Counts the images of open requests as possibly billed."""
        for row in self.open.values():
            self.usage[row["for"]].images_maybe_billed += row["images"]
        self.open.clear()


def write_end(folder: Location, count: int, end: str) -> None:
    """Sets ``bill.end`` to the number of rows and the checksum of the last one.

    Raises:
        StoreError: The file cannot be written.
    """
    place = folder / BILL_END
    with disk_errors(place), opened(place, CREATE) as file:
        os.pwrite(file, f"{count:012d} {end}\n".encode(), 0)
        if count == 1:  # later a power failure can only leave a lower number, which does no harm
            os.fsync(file)
            sync_folder(place.path.parent)


def _require_end(folder: Location, stored: StoredRows) -> None:
    """Compares the bill with ``bill.end``, which a killed process leaves one row behind.

    Raises:
        DamagedError: The bill lacks a row, or ``bill.end`` is damaged or missing.
    """
    bill, place, rows = folder / BILL, folder / BILL_END, len(stored.rows)
    content = b""
    if place.path.exists():
        with disk_errors(place):
            content = content_of(place)
    if not content:
        if rows > 1:
            raise missing(place)
        return
    with damage(place):
        number, _, end = content.decode("ascii").removesuffix("\n").partition(" ")
        count = int(number)
    if not rows:
        raise missing(bill)
    if not 1 <= count <= rows or stored.ends[count - 1] != end:
        raise damaged(bill, f"it has {rows} rows, which are not the {count} that {place} tells of")


def read_bill(folder: Place, price: float) -> Bill | None:
    """Reads the bill of a run folder without writing; ``None`` if the run has no bill.

    Raises:
        DamagedError: The bill is damaged, cut short or missing.
        StoreError: The bill cannot be read.
    """
    location = Location.of(folder)
    if not any((location / name).path.exists() for name in (BILL, BILL_END)):
        return None
    tally = Tally()
    tally.read(location)
    tally.close()
    return Bill(tally.usage, price)
