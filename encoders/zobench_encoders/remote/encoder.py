"""``http:<service>``: a rented encoder. Chunks travel side by side, every answer is checked and kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zobench.billing import Account
from zobench.encoders import EncoderRequest, EncoderSpec
from zobench.errors import ConfigError, EncoderError, ServiceError
from zobench.parameters import nearest, parameter

from .exchange import Call, Fault, Line, Reply, checked_url
from .inference import InferenceService, Wire, read_metadata
from .pictures import PictureService, Shape
from .retrying import Caller, LetGoError, Pace, Patience
from .service import Floats, Service, Traits
from .shapes import SHAPES, list_services, read_shape

BLOCKS_AHEAD = 4
"""Chunks a connection that one call of the encoder should bring, so that none of them waits for long."""

LARGEST_BLOCK = 256 * 2**20
LARGEST_ANSWER = 64 * 2**20
DRIFT = 1e-3
"""Relative difference of the canary's embedding above which a model is another one."""
UNENCRYPTED = "images and key travel unencrypted to {url}: plain http to another machine"

DRIFTED = "drifted"
STUMBLES = frozenset({200, 400, 415, 422, 500, 501})
"""Statuses of servers that cannot read raw bytes; 200 if the answer cannot be read either."""


@dataclass(frozen=True)
class RemoteParameters:
    """How a service is spoken to."""

    url: str = parameter("", "address of the service (--encoder-url)", incidental=True)
    model: str = parameter("", "name that the service knows the model by")
    template: str = parameter("", "TOML file with the shape of http:custom", incidental=True)
    key_env: str = parameter(
        "", "environment variable with the key; the service's usual one if empty", incidental=True
    )
    price: float = parameter(
        0.0, "what the service bills for an image, in any currency", low=0, incidental=True
    )
    chunk: int = parameter(
        0, "images a request; 0 for what suits the service", low=0, incidental=True
    )
    connections: int = parameter(4, "requests at a time", low=1, high=256, incidental=True)
    rate: int = parameter(
        0, "images a minute that are sent at most; 0 for no limit", low=0, incidental=True
    )
    timeout: float = parameter(120.0, "seconds that an answer may take", low=0.01, incidental=True)
    retries: int = parameter(
        5, "further attempts at a request that may have been billed", low=0, incidental=True
    )
    failures: int = parameter(
        20, "failures in a row after which the run stops, resumable", low=1, incidental=True
    )
    patience: float = parameter(
        600.0, "seconds without any answer after which it stops", low=0, incidental=True
    )
    backoff: float = parameter(
        0.5, "seconds before the second attempt; they grow", low=0.001, incidental=True
    )
    canary: int = parameter(
        2000, "images between two looks at whether the model has changed", low=1, incidental=True
    )
    wire: str = parameter(
        "auto", "how oip tensors travel", choices=("auto", "binary", "json"), incidental=True
    )
    size: int = parameter(224, "pixels a side, where the service does not tell", low=1)
    channels: int = parameter(1, "channels of an image, where the service does not tell", low=1)
    compression: int = parameter(1, "of PNG: 0 is fast, 9 small", low=0, high=9, incidental=True)


class RemoteEncoder:
    """An encoder behind HTTP; gives no gradients, and notes all that it asks in its account."""

    def __init__(
        self,
        name: str,
        service: Service,
        caller: Caller,
        line: Line,
        parameters: RemoteParameters,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Embeds the canary, which tells the dimension; it costs an image.

        Raises:
            ServiceError: The service does not answer.
        """
        self._name, self._service, self._caller, self._line = name, service, caller, line
        self._every, self._since = parameters.canary, 0
        traits = service.traits
        self._dimension = 0  # not known before the first answer
        self._canary = canary(traits.image_shape)
        self._first = self._ask(self._canary)
        self._dimension = self._first.shape[1]
        self._pool = ThreadPool(parameters.connections)  # daemons: nobody waits for them to exit
        self._spec = EncoderSpec(
            name=name,
            image_shape=traits.image_shape,
            embedding_dim=self._dimension,
            differentiable=False,
            exact_floats=traits.exact_floats,
            digest=traits.digest,
            block=_block(traits, parameters.connections),
            settings={"device": "remote", "chunk": traits.chunk, **traits.settings},
            notes=notes,
            price=parameters.price,
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
        if (
            failures
        ):  # of several, that of the service, not of a chunk that was let go because of it
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
        purpose, self.account.purpose = self.account.purpose, "check"
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


def remote_encoder(request: EncoderRequest, parameters: RemoteParameters) -> RemoteEncoder:
    """An encoder behind HTTP, once it has answered.

    Raises:
        ConfigError: A parameter is wrong or missing.
        ServiceError: The service does not answer.
    """
    kind = request.argument
    if kind not in list_services():
        raise ConfigError(
            f"encoder {request.name!r}: there is no service {kind!r}{nearest(kind, list_services())}; "
            f"it must be one of {', '.join(list_services())}"
        )
    for name, value in (("device", request.device), ("precision", request.precision)):
        if value != "auto":
            raise ConfigError(f"{name} is {value!r}, but encoder {request.name!r} runs elsewhere")
    shape = _shape(request.name, kind, parameters)
    url, loopback = checked_url(parameters.url or (shape.url if shape else ""))
    secret = _secret(request.name, shape, parameters)
    line = Line(
        secret=secret,
        header=shape.header if shape else "Authorization",
        scheme=shape.scheme if shape else "Bearer ",
        connections=parameters.connections,
        seconds=parameters.timeout,
        largest=LARGEST_ANSWER,
        loopback=loopback,
        doubtful=frozenset({400} if shape and shape.failures_are_400 else ()),
    )
    patience = Patience(
        parameters.retries, parameters.failures, parameters.patience, parameters.backoff
    )
    caller = Caller(request.name, line, patience, Pace(parameters.rate))
    notes = () if loopback or url.startswith("https:") else (UNENCRYPTED.format(url=url),)
    try:
        if shape is not None:
            image_shape = (parameters.channels, parameters.size, parameters.size)
            service: Service = PictureService(
                url,
                shape,
                parameters.model,
                image_shape,
                chunk=parameters.chunk,
                compression=parameters.compression,
            )
            return RemoteEncoder(request.name, service, caller, line, parameters, notes)
        return _inference(request, url, caller, line, parameters, notes)
    except BaseException:
        line.close()
        raise


def _inference(
    request: EncoderRequest,
    url: str,
    caller: Caller,
    line: Line,
    parameters: RemoteParameters,
    notes: tuple[str, ...],
) -> RemoteEncoder:
    """An encoder that is spoken to in tensors: as bytes if it understands them, else in JSON."""
    told = partial(read_metadata, url, size=parameters.size, channels=parameters.channels)
    metadata = caller.ask("metadata", 0, Call(url), lambda reply: told(reply=reply))
    wire = str(request.settings.get("wire", parameters.wire))
    chunk = parameters.chunk or int(request.settings.get("chunk", 0))
    wires: list[Wire] = ["binary", "json"] if wire == "auto" else [wire]  # type: ignore[list-item]
    patience = caller.patience
    for number, each in enumerate(wires, 1):
        last = number == len(wires)
        caller.patience = patience if last else replace(patience, retries=0)
        service = InferenceService(url, metadata, each, chunk)
        try:
            return RemoteEncoder(request.name, service, caller, line, parameters, notes)
        except ServiceError as error:
            if last or error.status not in STUMBLES:
                raise
            caller.begin()
        finally:
            caller.patience = patience
    raise AssertionError("unreachable")


def _shape(name: str, kind: str, parameters: RemoteParameters) -> Shape | None:
    """How a service of pictures wants to be asked; ``None`` for one of tensors."""
    if kind == "oip":
        return None
    if kind != "custom":
        return SHAPES[kind]
    if not parameters.template:
        raise ConfigError(f"encoder {name!r} needs --set encoder.template=FILE.toml")
    return read_shape(Path(parameters.template).expanduser())


def _secret(name: str, shape: Shape | None, parameters: RemoteParameters) -> str | None:
    variable = parameters.key_env or (shape.key_env if shape else "ZOBENCH_API_KEY")
    secret = os.environ.get(variable) or None
    if secret is None and (parameters.key_env or (shape and shape.key_needed)):
        raise ConfigError(f"encoder {name!r} needs a key: set the environment variable {variable}")
    if secret is not None and not (secret.isascii() and secret.isprintable()):
        raise ConfigError(
            f"the key in the environment variable {variable} has unprintable characters"
        )
    return secret
