"""The bill of a rented encoder: requests sent, answers received, images that may be charged.

The bill is ``bill.jsonl`` in the run folder. A ``sent`` row is written before each request, and an
``answered`` or ``failed`` row once the outcome is known. A request without an outcome, because
the process was killed, counts as possibly billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zobench.contracts.purpose import Purpose
from zobench.errors import StoreError
from zobench.files.json_files import Json, read_rows
from zobench.files.location import Location, Place

BILL = "bill.jsonl"


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
        found = Usage()
        for each in self.usage.values():
            for name, value in asdict(each).items():
                setattr(found, name, getattr(found, name) + value)
        return found

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

    def read(self, place: Place) -> int:
        """Adds the rows of a file, and returns how many there are.

        Raises:
            StoreError: The bill is damaged.
        """
        try:
            rows = read_rows(place)
            for row in rows:
                self.add(row)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{place} is damaged: {error!r}") from error
        return len(rows)

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


def read_bill(folder: Place, price: float) -> Bill | None:
    """Reads the bill of a run folder without writing; ``None`` if the run has no bill.

    Raises:
        StoreError: The bill is damaged.
    """
    place = Location.of(folder) / BILL
    if not place.path.exists():
        return None
    tally = Tally()
    tally.read(place)
    tally.close()
    return Bill(tally.usage, price)
