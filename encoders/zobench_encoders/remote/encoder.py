"""The encoder ``http:<service>``: sends chunks in parallel, checks and stores every answer."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from math import prod
from multiprocessing.pool import ThreadPool

import numpy as np
import torch
from torch import Tensor

from zobench.billing.account import Account
from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.purpose import Purpose
from zobench.errors import EncoderError, ModelChanged, ServiceError

from .exchange import Connections, ServiceReply
from .request_failure import RequestFailure
from .retrying import RequestCancelledError, RetryingClient
from .service import Floats, Service, ServiceProperties

BLOCKS_PER_CONNECTION = 4
"""Chunks per connection in one block, so that no connection is idle for long."""

STOP_SECONDS = 2.0
"""Seconds that requests on their way have to end after a second Ctrl-C."""

MAX_BLOCK_BYTES = 256 * 2**20
CANARY_TOLERANCE = 1e-3
"""Relative difference of the canary's embedding above which the model counts as changed."""

DRIFTED = "drifted"


class RemoteEncoder:
    """An encoder behind HTTP, without gradients; its account records every request."""

    def __init__(
        self,
        name: str,
        service: Service,
        client: RetryingClient,
        line: Connections,
        *,
        connections: int,
        canary_every: int,
        price: float,
        notes: tuple[str, ...],
    ) -> None:
        """Embeds the canary to learn the embedding dimension; this costs one image.

        Args:
            name: Name of the encoder as the user typed it.
            service: Writes the requests and reads the replies.
            client: Sends the requests, with retries.
            line: The connections to the service; closed with the encoder.
            connections: Number of requests at the same time.
            canary_every: Number of images between two checks that the model is unchanged.
            price: Price of one image.
            notes: Warnings to show beside every result.

        Raises:
            ServiceError: The service does not answer.
        """
        self._name, self._service, self._client, self._line = name, service, client, line
        self._every, self._since = canary_every, 0
        self._unchecked = 0
        properties = service.properties
        self._dimension = 0  # not known before the first answer
        self._canary = canary(properties.image_shape)
        self._first = self._ask(self._canary)
        self._dimension = self._first.shape[1]
        self._pool = ThreadPool(connections)  # daemon threads: the process does not wait for them
        self._spec = EncoderSpec(
            name=name,
            image_shape=properties.image_shape,
            embedding_dim=self._dimension,
            differentiable=False,
            exact_floats=properties.exact_floats,
            digest=properties.digest,
            block=_block(properties, connections),
            settings={"device": "remote", "chunk": properties.chunk, **properties.settings},
            notes=notes,
            price=price,
        )

    @property
    def spec(self) -> EncoderSpec:
        """The spec of this encoder, which the manifest stores."""
        return self._spec

    @property
    def account(self) -> Account:
        """The account that records every request."""
        return self._client.account

    def open_account(self, account: Account) -> None:
        """Switches to another account, which takes over the requests recorded so far.

        Raises:
            ServiceError: The model has changed since that account began.
        """
        account.take_over(self._client.account)
        self._client.account = account
        if account.kept(DRIFTED) is not None:
            raise ModelChanged(
                f"encoder {self._name} was another model for a while during this run, and what the run "
                "learnt then cannot be told from the rest; start a new run"
            )
        if not _same(account.first("canary", self._first), self._first):
            raise ServiceError(
                f"encoder {self._name} is not what it was: the same image is embedded otherwise than "
                "when the run began; give the address of the model that it began with, or start a new "
                "run"
            )

    def checks(self, images: int) -> int:
        """Images that it sends as checks while ``images`` more are embedded and after them, at most."""
        return (self._since + images) // self._every + 1

    def check(self) -> None:
        """Embeds the canary and compares it, unless nothing was embedded since the last time.

        Raises:
            ModelChanged: The model has changed.
            ServiceError: The retry policy allows no further attempt.
        """
        if not self._unchecked:
            return
        self._client.begin()
        purpose, self.account.purpose = self.account.purpose, Purpose.CHECK
        try:
            self._compare(self._first, self._embed_canary(self._canary))
        finally:
            self.account.purpose = purpose
        self._unchecked = 0

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` float32; chunks with a stored answer are not sent again.

        Raises:
            EncoderError: The images have the wrong shape.
            ServiceError: The retry policy allows no further attempt, or the model has changed.
                Received answers are stored for the next attempt.
        """
        channels, *size = self._spec.image_shape
        if list(images.shape[2:]) != size or images.shape[1] not in (1, channels):
            raise EncoderError(
                f"encoder {self._name} takes images of shape {self._spec.image_shape} (or one "
                f"channel), but got {tuple(images.shape[1:])}"
            )
        if not len(images):
            return torch.empty(0, self._spec.embedding_dim)
        images = images.detach()
        self._client.begin()
        self._check_canary(len(images))
        self._unchecked += len(images)
        chunk = self._service.properties.chunk
        chunks = [images[start : start + chunk] for start in range(0, len(images), chunk)]
        results = [self._pool.apply_async(self._ask, (part,)) for part in chunks]
        try:
            for result in results:
                result.wait()
        except BaseException:  # such as a second Ctrl-C
            self._client.stop.set()
            # answers on their way are paid for, and a thread that is cut off inside native code can
            # abort the process
            last = time.monotonic() + STOP_SECONDS
            for result in results:
                result.wait(max(0.0, last - time.monotonic()))
            raise
        failures: list[Exception] = []
        parts: list[Floats] = []
        for result in results:
            try:
                parts.append(result.get())
            except Exception as error:
                failures.append(error)
        if failures:  # the cause, not the cancelled request of a chunk after it
            raise min(failures, key=lambda error: isinstance(error, RequestCancelledError))
        if not self.account.lasting:
            self.account.settle()  # no later attempt will read these answers
        return torch.from_numpy(np.concatenate(parts))

    def close(self) -> None:
        """Ends all connections."""
        self._client.stop.set()
        self._pool.terminate()
        self._line.close()

    def _ask(self, images: Tensor) -> Floats:
        self._client.require_going()
        call = self._service.call(images)
        key = hashlib.sha256(call.body or b"").hexdigest()[:32]
        paid = self.account.recall(key)
        if paid is not None and len(paid) == len(images):
            return paid
        try:
            return self._client.ask(key, len(images), call, partial(self._read, len(images)))
        except BaseException:
            self._client.stop.set()
            raise

    def _check_canary(self, images: int) -> None:
        """Embeds the canary after every ``canary_every`` images, and compares the embedding."""
        self._since += images
        if self._since > self._every:
            self.check()
            self._since %= self._every

    def _embed_canary(self, images: Tensor) -> Floats:
        call = self._service.call(images)
        read = partial(self._read, len(images))
        return self._client.ask("canary", len(images), call, read, keep=False)

    def _read(self, images: int, reply: ServiceReply) -> Floats:
        embeddings = self._service.read(reply, images)
        if self._dimension and embeddings.shape[1] != self._dimension:
            raise RequestFailure(
                "doubtful",
                f"embeddings of {embeddings.shape[1]} numbers came; they had {self._dimension} before",
            )
        return embeddings

    def _compare(self, before: Floats, now: Floats) -> None:
        if not _same(before, now):
            self.account.settle()  # stored answers of the changed model must not be used
            self.account.first(DRIFTED, now)
            raise ModelChanged(
                f"encoder {self._name} is not what it was: the same image is embedded otherwise than "
                "when the run began, so its results cannot be compared; start a new run"
            )


def _same(before: Floats, now: Floats) -> bool:
    """Whether two embeddings of the canary are those of one model."""
    size = float(np.abs(before).max(initial=0)) or 1.0
    return (
        before.shape == now.shape and float(np.abs(before - now).max()) <= CANARY_TOLERANCE * size
    )


def _block(properties: ServiceProperties, connections: int) -> int:
    """Number of images that keeps all connections busy, limited by memory for a few copies."""
    most = MAX_BLOCK_BYTES // (4 * prod(properties.image_shape))
    return properties.chunk * max(
        1, min(connections * BLOCKS_PER_CONNECTION, most // properties.chunk)
    )


def canary(shape: tuple[int, int, int]) -> Tensor:
    """The canary: a fixed 8-bit image ``(1, C, H, W)``, a gradient around a chequerboard."""
    channels, height, width = shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    slope = (rows * 97 + columns * 31) * 255 // (97 * height + 31 * width)
    middle = (rows * 4 // height % 3 > 0) & (columns * 4 // width % 3 > 0)
    checks = ((rows // 7 + columns // 5) % 2) * 200
    grey = torch.where(middle, checks, slope).float() / 255
    return grey.expand(1, channels, height, width).contiguous()
