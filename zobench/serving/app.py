"""The HTTP service: Open Inference Protocol v2, embeddings in OpenAI's shape, health, counters."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from zobench.contracts.encoder import Encoder
from zobench.errors import ZobenchError
from zobench.problem.quantization import rounded
from zobench.registry.discovery import distribution_version

from . import oip
from .batching import Batcher, Full
from .bodies import INPUT, Refused, read_floats, read_pictures
from .counters import Counters
from .fault_injection import Dice, FaultInjection, RateLimit
from .limits import Limits
from .memory import LARGE_BYTES, give_back_memory

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Handler = Callable[[Request], Awaitable[Response]]
OUTPUT = "embeddings"


class Service:
    """One encoder behind HTTP."""

    def __init__(
        self,
        encoder: Encoder,
        name: str,
        *,
        limits: Limits | None = None,
        faults: FaultInjection | None = None,
        token: str | None = None,
    ) -> None:
        """Nothing runs before :attr:`app` is started.

        Args:
            encoder: The encoder that embeds the images.
            name: The name of the model in its address.
            limits: Bounds on requests.
            faults: Simulated delays, failures, rate limit and rounding.
            token: The bearer token that clients must send; ``None`` for no token.
        """
        self._encoder, self._name, self._token = encoder, name, token
        self._limits, self._of = limits or Limits(), faults or FaultInjection()
        self._dice, self._rate = Dice(self._of), RateLimit(self._of.rate_limit)
        self._batcher: Batcher | None = None
        self._running = self._held = 0
        self._parsing = asyncio.Semaphore(1)
        self.counters = Counters()
        model = "/v2/models/{model}"
        post = ["POST"]
        self.app = Starlette(
            routes=[
                Route("/v2", self._open(self._server)),
                Route("/v2/health/live", self._health),
                Route("/v2/health/ready", self._health),
                Route(model, self._open(self._metadata)),
                Route(f"{model}/ready", self._open(self._metadata)),
                Route(f"{model}/infer", self._open(self._infer), methods=post),
                Route(f"{model}/versions/{{version}}", self._open(self._metadata)),
                Route(f"{model}/versions/{{version}}/ready", self._open(self._metadata)),
                Route(f"{model}/versions/{{version}}/infer", self._open(self._infer), methods=post),
                Route("/v1/models", self._open(self._models)),
                Route("/v1/embeddings", self._open(self._openai), methods=post),
                Route("/metrics", self._open(self._metrics)),
            ],
            exception_handlers={HTTPException: self._unrouted},
            lifespan=self._life,
        )

    @property
    def version(self) -> str:
        """The version of the model: the first 12 characters of the encoder's digest."""
        return self._encoder.spec.digest[:12]

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_told_in_one_line)
        spec, limits = self._encoder.spec, self._limits
        batch = limits.batch or spec.block
        self._batcher = Batcher(
            self._encoder, batch=batch, wait=limits.wait, capacity=limits.waiting
        )
        self._batcher.start()
        try:
            yield
        finally:
            await self._batcher.stop()

    def _open(self, handler: Handler) -> Handler:
        """Wraps a handler: checks the token before anything else, and formats errors."""

        async def guarded(request: Request) -> Response:
            try:
                self._require_token(request)
                answer = await handler(request)
            except Refused as refusal:
                answer = _error(request, refusal.status, str(refusal), refusal.headers)
            except ClientDisconnect:
                answer = Response(status_code=400)
            except Exception as error:
                told = str(error) if isinstance(error, ZobenchError) else type(error).__name__
                answer = _error(request, 500, told)
            self.counters.requests.labels(str(answer.status_code)).inc()
            return answer

        return guarded

    def _require_token(self, request: Request) -> None:
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                raise Refused(401, "a bearer token is needed", WWW_Authenticate="Bearer")

    def _check_model(self, request: Request) -> None:
        model, version = request.path_params["model"], request.path_params.get("version")
        if model != self._name:
            raise Refused(404, f"there is no model {model!r}; this server has {self._name!r}")
        if version not in (None, self.version):
            raise Refused(404, f"there is no version {version!r}; this server has {self.version!r}")

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, which is held for the block; then the request takes its turn.

        A body that comes slowly takes nobody's turn, and has to come in time.

        Raises:
            Refused: The body is too large or too slow, or there are too many requests.
        """
        parts: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self._limits.upload_seconds):
                    await self._receive(request, parts)
            except TimeoutError as error:
                seconds = f"{self._limits.upload_seconds:g} seconds"
                raise Refused(408, f"the body did not come within {seconds}") from error
            if self._running >= self._limits.requests:
                raise Refused(
                    429, f"{self._limits.requests} requests are being served", Retry_After="1"
                )
            self._running += 1
            size, body = sum(map(len, parts)), b"".join(parts)
            parts.clear()
            try:
                yield body
            finally:
                self._running -= 1
        finally:
            size += sum(map(len, parts))
            self._held -= size
            parts.clear()
            if size > LARGE_BYTES and not self._running:
                give_back_memory()

    async def _receive(self, request: Request, parts: list[bytes]) -> None:
        most = self._limits.body
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "bodies must come without content encoding")
        declared = request.headers.get("content-length", "0")
        too_large = Refused(413, f"the body is larger than {most} bytes")
        if declared.isdigit() and int(declared) > most:
            raise too_large
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_large
            if self._held + len(part) > self._limits.held:
                raise Refused(429, "too many bytes are waiting", Retry_After="1")
            self._held += len(part)
            parts.append(part)

    async def _embed(self, images: Tensor) -> Floats:
        """Embeddings of images, after rate limit, delay and failure; counts images by outcome."""
        count, outcomes = len(images), self.counters.images.labels
        wait = self._rate.admit(count)
        if wait:
            outcomes("refused").inc(count)
            raise Refused(
                429,
                f"{self._of.rate_limit} images per minute are allowed",
                Retry_After=str(math.ceil(wait)),
            )
        fails, delay = self._dice.fails(), self._dice.delay()
        if delay:
            await asyncio.sleep(delay)
        if fails:
            outcomes("failed").inc(count)
            raise Refused(500, "this failure was asked for (--fail-rate)")
        assert self._batcher is not None
        try:
            embeddings = await self._batcher.embed(rounded(images) if self._of.quantize else images)
        except Full as full:
            outcomes("refused").inc(count)
            raise Refused(
                429, "too many images are waiting", Retry_After=str(math.ceil(full.seconds))
            ) from full
        except Exception:
            outcomes("failed").inc(count)
            raise
        outcomes("embedded").inc(count)
        return embeddings

    async def _infer(self, request: Request) -> Response:
        self._check_model(request)
        length, spec = request.headers.get(oip.HEADER), self._encoder.spec
        async with self._body(request) as body:
            async with self._parsing:  # one at a time: parsing JSON takes memory
                message, images = await run_in_threadpool(
                    read_floats, body, length, spec, self._limits.images
                )
            _require_known_outputs(message)
            embeddings = await self._embed(images)
            del images
        fields = {"model_name": self._name, "model_version": self.version}
        if isinstance(message.get("id"), str):
            fields["id"] = message["id"]
        binary = _wants_binary(message)
        answer, headers = oip.write_tensor(
            "outputs", OUTPUT, embeddings, binary=binary, fields=fields
        )
        return Response(answer, headers=headers)

    async def _openai(self, request: Request) -> Response:
        async with self._body(request) as body:
            async with self._parsing:
                fields, images = await run_in_threadpool(
                    read_pictures, body, self._encoder.spec, self._limits.images
                )
            return await self._embeddings(fields, images)

    async def _embeddings(self, fields: dict[str, Any], images: Tensor) -> Response:
        """The answer in OpenAI's shape."""
        if fields.get("model", self._name) != self._name:
            raise Refused(404, f"there is no such model; this server has {self._name!r}")
        coding = fields.get("encoding_format")
        coding = "float" if coding is None else coding
        if coding not in ("float", "base64"):
            raise Refused(400, "encoding_format must be float or base64")
        dimension = self._encoder.spec.embedding_dim
        if fields.get("dimensions") not in (None, dimension):
            raise Refused(
                400, f"the embeddings of this server have {dimension} dimensions, no others"
            )
        embeddings = await self._embed(images)
        vectors: list[Any] = (
            embeddings.tolist()
            if coding == "float"
            else [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in embeddings]
        )
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return JSONResponse({"object": "list", "model": self._name, "data": data, "usage": usage})

    async def _server(self, request: Request) -> Response:
        extensions = ["binary_tensor_data"]
        return JSONResponse(
            {
                "name": "zobench",
                "version": distribution_version("zobench"),
                "extensions": extensions,
            }
        )

    async def _health(self, request: Request) -> Response:
        return Response(status_code=200)

    async def _metadata(self, request: Request) -> Response:
        self._check_model(request)
        spec = self._encoder.spec
        tensor = {"datatype": "FP32"}
        told = {
            "name": self._name,
            "versions": [self.version],
            "platform": "zobench",
            "inputs": [{"name": INPUT, **tensor, "shape": [-1, *spec.image_shape]}],
            "outputs": [{"name": OUTPUT, **tensor, "shape": [-1, spec.embedding_dim]}],
            "parameters": {
                "digest": spec.digest,
                "block": spec.block,
                "max_images": self._limits.images,
                "max_body": self._limits.body,
                "bits": 8 if self._of.quantize else 32,
            },
        }
        return JSONResponse(told)

    async def _models(self, request: Request) -> Response:
        entry = {"id": self._name, "object": "model", "owned_by": "zobench"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(generate_latest(self.counters.registry))

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        self.counters.requests.labels(str(error.status_code)).inc()
        return _error(request, error.status_code, error.detail)


def _told_in_one_line(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Prints an error of a connection, such as a lack of file descriptors, without a traceback."""
    cause = context.get("exception")
    print(f"note: {context['message']}" + (f": {cause}" if cause else ""), file=sys.stderr)


def _require_known_outputs(message: dict[str, Any]) -> None:
    """Refuses a request that names an output which there is not."""
    outputs = message.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict) and output.get("name", OUTPUT) != OUTPUT:
            raise Refused(
                400, f"there is no output {output['name']!r:.80}; this model has {OUTPUT!r}"
            )


def _wants_binary(message: dict[str, Any]) -> bool:
    """Whether a request asks for raw bytes, for all outputs or for its single output."""
    if _flag(message, "binary_data_output"):
        return True
    outputs = message.get("outputs")
    return isinstance(outputs, list) and any(
        isinstance(output, dict) and _flag(output, "binary_data") for output in outputs
    )


def _flag(entry: dict[str, Any], name: str) -> bool:
    parameters = entry.get("parameters")
    return isinstance(parameters, dict) and parameters.get(name) is True


def _error(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """An error response in the format of the protocol of the request."""
    if request.url.path.startswith("/v1"):
        kind = "invalid_request_error" if status < 500 else "server_error"
        said: Any = {"message": message, "type": kind, "param": None, "code": status}
    else:
        said = message
    return JSONResponse({"error": said}, status_code=status, headers=headers)
