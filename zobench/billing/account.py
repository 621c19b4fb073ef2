"""The account of a rented encoder: it records each request and stores each answer until used.

The folder ``paid/`` beside the bill holds answers that no checkpoint covers yet. A resumed run
reads them from there and does not pay for them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.encoder import Encoder
from zobench.contracts.listener import Listener
from zobench.contracts.purpose import Purpose
from zobench.errors import ConfigError, CostReached, DamagedError
from zobench.files.atomic import damage
from zobench.files.json_files import Json
from zobench.files.location import Location, Place
from zobench.files.regular import require_no_link
from zobench.files.row_files import RowWriter, keep_rows
from zobench.files.tensor_files import read_tensors, write_tensors

from .bill import BILL, Bill, Tally, write_end

Floats = NDArray[np.float32]

PAID = "paid"
ANSWER = ".safetensors"
FIRST = ".first.safetensors"
"""File name suffix of arrays kept until the run ends; other arrays are deleted after use."""

UNKNOWN = "the process ended before the outcome was known"


class Account:
    """Keeps the bill of one run; safe to use from several threads.

    Attributes:
        purpose: The purpose of the requests from here on.
        price: The price of an image.
        limit: The sum that all images together may cost; 0 for no limit.
        lost: The number of stored answers that are damaged, and are requested again.
        inherited: Whether an answer was used that an earlier process had received.
    """

    def __init__(self, folder: Place | None = None, price: float = 0.0, limit: float = 0.0) -> None:
        """Opens the bill in a folder and closes the requests that a killed process left open.

        Args:
            folder: The folder of the bill; ``None`` to keep it in memory only.
            price: The price of an image.
            limit: The sum that all images together may cost; 0 for no limit.

        Raises:
            DamagedError: The bill is damaged, cut short or missing.
            StoreError: The bill cannot be read or written.
        """
        self.purpose = Purpose.CHECK
        self.price, self.limit = price, limit
        self._reserve: Callable[[int], int] = lambda images: 0
        self._folder = Location.of(folder) if folder is not None else None
        self._lock = threading.Lock()
        self._tally = Tally()
        self._rows: list[Json] = []
        self._paid: dict[str, Floats] = {}
        self.lost = 0
        self._former: set[str] = set()
        self.inherited = False
        if self._folder is not None:
            self._reopen(self._folder)

    @property
    def bill(self) -> Bill:
        """The bill so far."""
        return Bill(self._tally.usage, self.price)

    def affords(self, images: int, *, keeping_reserve: bool = False) -> bool:
        """Whether ``images`` more stay within the limit, even if all doubtful images are billed."""
        if not self.limit:
            return True
        payable = self.bill.total().images_payable + images
        payable += sum(int(row["images"]) for row in self._tally.open.values())
        payable += self._reserve(images) if keeping_reserve else 0
        return payable * self.price <= self.limit * (1 + 1e-12)

    @property
    def reserve(self) -> int:
        """Images that must stay affordable at each ask, so that the snapshots can be scored."""
        return self._reserve(0)

    def set_aside(self, reserve: Callable[[int], int], *, besides: int) -> None:
        """Reserves the images that scoring will send.

        Args:
            reserve: Returns the images that scoring sends, with those that check the service, if the
                optimizer ends after so many more.
            besides: Least number of images that the run sends before the first snapshot; 0 for
                a resumed run, whose requests are each checked before they are sent.

        Raises:
            ConfigError: The reserve and ``besides`` together pass the limit.
        """
        self._reserve = reserve
        least = reserve(besides) + besides
        if besides and self.limit and least * self.price > self.limit:
            raise ConfigError(
                f"max_cost is {self.limit:g}, but a run with one snapshot sends {least:,} images, which "
                f"cost {least * self.price:g}: clean images, one evaluation, and edited images to score "
                "the snapshot and its controls; give more, or send fewer with --controls none, --set "
                "split.train or split.test_per_cell"
            )

    @property
    def lasting(self) -> bool:
        """Whether the account lies in a folder."""
        return self._folder is not None

    def recall(self, key: str) -> Floats | None:
        """An answer that was paid for but not used before the last process ended."""
        with self._lock:
            self.inherited |= key in self._former
            return self._paid.get(key)

    def sent(self, key: str, images: int, size: int, *, retry: bool) -> int:
        """Records a request before it is sent.

        Args:
            key: The request's name; equal images have equal keys.
            images: The number of images in the request.
            size: Bytes of the request's body.
            retry: Whether the request repeats a failed request.

        Returns:
            The request's number.

        Raises:
            CostReached: The request could pass the limit; it must not be sent.
        """
        with self._lock:
            if not self.affords(images):
                raise CostReached(
                    f"max_cost is {self.limit:g}; {images} more images at {self.price:g} each could "
                    f"pass it ({self.bill.total().images_payable:,} were or may be billed)"
                )
            number = self._tally.requests
            row: Json = {
                "request": number,
                "is": "sent",
                "for": self.purpose.value,
                "images": images,
            }
            row |= {"bytes": size, "retry": retry, "key": key}
            self._note(row)
            return number

    def answered(self, request: int, size: int, embeddings: Floats | None = None) -> None:
        """Records an answer of ``size`` bytes; embeddings ``(images, D)`` are stored until used."""
        with self._lock:
            key = self._tally.open[request]["key"]
            if embeddings is not None:
                self._paid[key] = embeddings
                if self._folder is not None:
                    _write_array(self._paid_file(self._folder, key), embeddings)
            self._note({"request": request, "is": "answered", "bytes": size})

    def failed(self, request: int, why: str, *, billed: bool, left: bool = True) -> None:
        """Records a failed request: whether it may be billed, and whether it was sent."""
        row: Json = {"request": request, "is": "failed", "maybe_billed": billed, "why": why}
        with self._lock:
            self._note(row if left else {**row, "left": False})

    def settle(self) -> None:
        """Deletes the stored answers; call it once the results made of them are safe on disk."""
        with self._lock:
            for key in self._paid:
                if self._folder is not None:
                    self._paid_file(self._folder, key).path.unlink(missing_ok=True)
            self._paid.clear()
            self._former.clear()

    def take_over(self, other: Account) -> None:
        """Adds the rows of another account, such as the encoder's account from before the run."""
        numbers: dict[int, int] = {}
        with self._lock:
            for row in other._rows:
                if row["is"] == "sent":
                    numbers[row["request"]] = self._tally.requests
                self._note({**row, "request": numbers[row["request"]]})

    def kept(self, name: str) -> Floats | None:
        """The array stored under a name until the run ends; ``None`` if there is no such array.

        Raises:
            DamagedError: The file of the array is damaged.
        """
        if self._folder is None:
            return None
        place = self._folder / PAID / f"{name}{FIRST}"
        return _read_array(place) if place.path.exists() else None

    def first(self, name: str, values: Floats) -> Floats:
        """The array stored under a name; if there is none, stores and returns ``values``."""
        stored = self.kept(name)
        if stored is not None:
            return stored
        if self._folder is not None:
            _write_array(self._folder / PAID / f"{name}{FIRST}", values)
        return values

    def _reopen(self, folder: Location) -> None:
        require_no_link(folder / PAID)
        stored = self._tally.read(folder)
        keep_rows(folder / BILL, len(stored.rows), stored.end)  # cuts a torn last line
        self._writer = RowWriter(folder / BILL, stored)
        for file in sorted((folder / PAID).path.glob(f"*{ANSWER}")):
            if not file.name.endswith(FIRST):
                try:
                    self._paid[file.stem] = _read_array(folder / PAID / file.name)
                    self._former.add(file.stem)
                except DamagedError:
                    self.lost += 1
        for number, row in list(self._tally.open.items()):
            if row["key"] in self._paid:  # the answer is stored, but its row is missing
                self._note({"request": number, "is": "answered", "bytes": 0})
            else:
                failure = {"is": "failed", "maybe_billed": True, "why": UNKNOWN}
                self._note({"request": number, **failure})

    def _note(self, row: Json) -> None:
        if self._folder is None:
            self._rows.append(row)  # for take_over() by the run's account
        else:
            self._writer.append([row], durable=True)  # before money is spent
            write_end(self._folder, self._writer.count, self._writer.end)
        self._tally.add(row)

    @staticmethod
    def _paid_file(folder: Location, key: str) -> Location:
        return folder / PAID / f"{key}{ANSWER}"


@runtime_checkable
class PaidEncoder(Encoder, Protocol):
    """A rented encoder, which records every request in its account.

    The encoder starts with an account in memory, whose rows the run's account takes over.
    """

    def open_account(self, account: Account) -> None:
        """Records every request in this account from now on.

        Raises:
            EncoderError: The service has changed since the account's run began.
        """
        ...

    @property
    def account(self) -> Account:
        """The account that records every request."""
        ...


@runtime_checkable
class CheckedEncoder(PaidEncoder, Protocol):
    """A rented encoder that sends images of its own, to check that the service is what it was."""

    def checks(self, images: int) -> int:
        """Images that it sends as checks while ``images`` more are embedded and after them, at most."""
        ...

    def check(self) -> None:
        """Checks the service now, unless nothing was embedded since the last check.

        Raises:
            ModelChanged: The service has changed.
            ServiceError: The service does not answer.
        """
        ...


def check_service(encoder: Encoder) -> None:
    """Checks that a service is what it was while it embedded what it has embedded so far.

    Raises:
        ModelChanged: The service has changed since the last check.
        ServiceError: The service does not answer.
    """
    if isinstance(encoder, CheckedEncoder):
        encoder.check()


def close(encoder: Encoder, listener: Listener) -> None:
    """Closes an encoder; an error of closing is only noted, as all results are there."""
    try:
        encoder.close()
    except BaseException as error:  # of a plugin: SystemExit as well
        listener.note(f"encoder {encoder.spec.name} could not be closed: {type(error).__name__}")


def close_and_tell(encoder: Encoder, listener: Listener) -> None:
    """Closes an encoder used outside a run, and tells the listener the billed images and cost."""
    close(encoder, listener)
    if isinstance(encoder, PaidEncoder):
        told = encoder.account.bill.as_dict()
        total = told["total"]
        words = (
            f"images sent to {encoder.spec.name}: {total['images_sent']:,}; {total['images_billed']:,} "
            f"billed, {total['images_maybe_billed']:,} perhaps"
        )
        cost = f", at most {told['cost_at_most']:,.2f} in all" if told["price"] else ""
        listener.note(words + cost)


def _write_array(place: Location, values: Floats) -> None:
    import torch

    write_tensors(place, {"embeddings": torch.from_numpy(np.array(values))}, durable=False)


def _read_array(place: Location) -> Floats:
    tensors, _ = read_tensors(place)
    with damage(place):
        embeddings: Floats = tensors["embeddings"].numpy()
        return embeddings
