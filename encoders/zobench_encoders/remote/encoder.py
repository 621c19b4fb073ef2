"""``http:<service>``: a rented encoder. Chunks travel side by side, every answer is checked and kept."""

from __future__ import annotations

import hashlib
from functools import partial
from math import prod
from multiprocessing.pool import ThreadPool

import numpy as np
import torch
from torch import Tensor

from zobench.billing.account import Account
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.purpose import Purpose
from zobench.errors import EncoderError, ServiceError

from .exchange import Connections, Fault, Reply
from .retrying import Caller, LetGoError
from .service import Floats, Service, Traits

BLOCKS_AHEAD = 4
"""Chunks a connection that one call of the encoder should bring, so that none of them waits for long."""

LARGEST_BLOCK = 256 * 2**20
DRIFT = 1e-3
"""Relative difference of the canary's embedding above which a model is another one."""

DRIFTED = "drifted"


class RemoteEncoder:
    """An encoder behind HTTP; gives no gradients, and notes all that it asks in its account."""

    def __init__(
        self,
        name: str,
        service: Service,
        caller: Caller,
        line: Connections,
        *,
        connections: int,
        canary_every: int,
        price: float,
        notes: tuple[str, ...],
    ) -> None:
        """Embeds the canary, which tells the dimension; it costs an image.

        Args:
            name: As typed by the user.
            service: How it is asked.
            caller: Who asks.
            line: Closed with the encoder.
            connections: Requests at a time.
            canary_every: Images between two looks at whether the model has changed.
            price: Of an image.
            notes: Warnings to show beside every result.

        Raises:
            ServiceError: The service does not answer.
        """
        self._name, self._service, self._caller, self._line = name, service, caller, line
        self._every, self._since = canary_every, 0
        traits = service.traits
        self._dimension = 0  # not known before the first answer
        self._canary = canary(traits.image_shape)
        self._first = self._ask(self._canary)
        self._dimension = self._first.shape[1]
        self._pool = ThreadPool(connections)  # daemons: nobody waits for them to exit
        self._spec = EncoderSpec(
            name=name,
            image_shape=traits.image_shape,
            embedding_dim=self._dimension,
            differentiable=False,
            exact_floats=traits.exact_floats,
            digest=traits.digest,
            block=_block(traits, connections),
            settings={"device": "remote", "chunk": traits.chunk, **traits.settings},
            notes=notes,
            price=price,
        )

    @property
    def spec(self) -> EncoderSpec:
        """What the manifest says of this encoder."""
        return self._spec

    @property
    def account(self) -> Account:
        """Where every request is noted."""
        return self._caller.account

    def open_account(self, account: Account) -> None:
        """Goes on in another account, which takes over what was asked so far.

        Raises:
            ServiceError: The model is not what it was when that account began.
        """
        account.take_over(self._caller.account)
        self._caller.account = account
        if account.kept(DRIFTED) is not None:
            raise ServiceError(
                f"encoder {self._name} was another model for a while during this run, and what the run "
                "learnt then cannot be told from the rest; start a new run"
            )
        self._compare(account.first("canary", self._first), self._first)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` float32; chunks that were paid for before are not asked again.

        Raises:
            EncoderError: The images have the wrong shape.
            ServiceError: There is no hope of an answer, or the model has changed. Answers that came
                are kept for the next attempt.
        """
        channels, *size = self._spec.image_shape
        if list(images.shape[2:]) != size or images.shape[1] not in (1, channels):
            raise EncoderError(
                f"encoder {self._name} takes images of shape {self._spec.image_shape} (or one "
                f"channel), but got {tuple(images.shape[1:])}"
            )
        images = images.detach()
        self._caller.begin()
        self._look_again(len(images))
        chunk = self._service.traits.chunk
        chunks = [images[start : start + chunk] for start in range(0, len(images), chunk)]
        results = [self._pool.apply_async(self._ask, (each,)) for each in chunks]
        try:
            for result in results:
                result.wait()
        except BaseException:  # such as a second Ctrl-C
            self._caller.stop.set()
            raise
        failures: list[Exception] = []
        found: list[Floats] = []
        for result in results:
            try:
                found.append(result.get())
            except Exception as error:
                failures.append(error)
        if failures:  # of several the cause, not that of a chunk which was let go for it
            raise min(failures, key=lambda error: isinstance(error, LetGoError))
        if not self.account.lasting:
            self.account.settle()  # nobody will come back for these
        return torch.from_numpy(np.concatenate(found))

    def close(self) -> None:
        """Ends all connections."""
        self._caller.stop.set()
        self._pool.terminate()
        self._line.close()

    def _ask(self, images: Tensor) -> Floats:
        call = self._service.call(images)
        key = hashlib.sha256(call.body or b"").hexdigest()[:32]
        paid = self.account.recall(key)
        if paid is not None and len(paid) == len(images):
            return paid
        try:
            return self._caller.ask(key, len(images), call, partial(self._read, len(images)))
        except BaseException:
            self._caller.stop.set()
            raise

    def _look_again(self, images: int) -> None:
        """Embeds the canary when it is time."""
        self._since += images
        if self._since <= self._every:
            return
        purpose, self.account.purpose = self.account.purpose, Purpose.CHECK
        try:
            self._compare(self._first, self._ask_anew(self._canary))
        finally:
            self.account.purpose = purpose
        self._since = images

    def _ask_anew(self, images: Tensor) -> Floats:
        call = self._service.call(images)
        read = partial(self._read, len(images))
        return self._caller.ask("canary", len(images), call, read, keep=False)

    def _read(self, images: int, reply: Reply) -> Floats:
        found = self._service.read(reply, images)
        if self._dimension and found.shape[1] != self._dimension:
            raise Fault(
                "doubtful",
                f"embeddings of {found.shape[1]} numbers came; they had {self._dimension} before",
            )
        return found

    def _compare(self, before: Floats, now: Floats) -> None:
        size = float(np.abs(before).max(initial=0)) or 1.0
        same = before.shape == now.shape and float(np.abs(before - now).max()) <= DRIFT * size
        if not same:
            self.account.settle()  # answers of the other model are worth nothing
            self.account.first(DRIFTED, now)
            raise ServiceError(
                f"encoder {self._name} is not what it was: the same image is embedded otherwise than "
                "when the run began, so its results cannot be compared; start a new run"
            )


def _block(traits: Traits, connections: int) -> int:
    """Images that keep all connections busy, as far as they fit in memory with some copies."""
    most = LARGEST_BLOCK // (4 * prod(traits.image_shape))
    return traits.chunk * max(1, min(connections * BLOCKS_AHEAD, most // traits.chunk))


def canary(shape: tuple[int, int, int]) -> Tensor:
    """An image ``(1, C, H, W)`` of 8-bit greys, always the same: a slope with a chequered middle."""
    channels, height, width = shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    slope = (rows * 97 + columns * 31) * 255 // (97 * height + 31 * width)
    middle = (rows * 4 // height % 3 > 0) & (columns * 4 // width % 3 > 0)
    checks = ((rows // 7 + columns // 5) % 2) * 200
    grey = torch.where(middle, checks, slope).float() / 255
    return grey.expand(1, channels, height, width).contiguous()
