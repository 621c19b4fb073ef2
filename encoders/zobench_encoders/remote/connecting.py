"""Builds an ``http:`` encoder from the user's parameters: address, key, service and wire."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from zobench.contracts.encoder import EncoderOutlook, EncoderRequest
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError, ServiceError
from zobench.paths import expanded

from .address import checked_url
from .dialects import DIALECTS, list_services, read_dialect
from .encoder import RemoteEncoder
from .exchange import Call, Connections
from .inference import WIRES, InferenceService, read_metadata
from .pictures import Dialect, PictureService
from .retrying import LONGEST_PATIENCE, RateLimiter, RetryingClient, RetryPolicy
from .service import Service

MAX_KEY_CHARACTERS = 4096
SECRET_CHARACTERS = 8
"""Fewest characters of a header's value that may be a secret."""
OPEN_HEADERS = ("accept", "content-type", "user-agent")
"""Headers that hold no secret, and whose values services name in messages."""
MAX_ANSWER_BYTES = 64 * 2**20
"""Largest size of an answer in bytes."""
UNENCRYPTED = "images and key travel unencrypted to {url}: plain http to another machine"
VENDORS = {
    "OPENAI_API_KEY": ("openai.com",),
    "HF_TOKEN": ("huggingface.co", "huggingface.cloud"),
    "VOYAGE_API_KEY": ("voyageai.com",),
    "CO_API_KEY": ("cohere.com",),
    "JINA_API_KEY": ("jina.ai",),
    "VERTEX_ACCESS_TOKEN": ("googleapis.com", "vertexai.goog"),
}
"""Environment variables that hold the key of a vendor for any program, and the vendor's domains."""
LENT_KEY = "the key of {key_env} was sent to {host}; --set encoder.key_env=OTHER sends another one"
JSON_FALLBACK_STATUSES = frozenset({200, 400, 415, 422, 500, 501})
"""Statuses after which JSON replaces raw bytes; 200 stands for an unreadable answer."""


@dataclass(frozen=True)
class RemoteParameters:
    """Settings of ``http:<service>``: address, model, limits and retry policy."""

    url: str = parameter("", "address of the service (--encoder-url)", incidental=True)
    model: str = parameter("", "name that the service knows the model by")
    template: str = parameter("", "TOML file with the dialect of http:custom", incidental=True)
    key_env: str = parameter(
        "", "environment variable with the key; the service's usual one if empty", incidental=True
    )
    price: float = parameter(0.0, "price of an image, in any currency", low=0, incidental=True)
    chunk: int = parameter(
        0,
        "images per request; 0 takes the number of the dialect or the service",
        low=0,
        high=65_536,
        incidental=True,
    )
    connections: int = parameter(4, "requests at a time", low=1, high=256, incidental=True)
    rate: int = parameter(
        0, "most images sent per minute; 0 for no limit", low=0, high=1_000_000_000, incidental=True
    )
    timeout: float = parameter(
        120.0, "seconds that an answer may take", low=0.01, high=86_400, incidental=True
    )
    retries: int = parameter(
        5,
        "further attempts at a request that may have been billed",
        low=0,
        high=1000,
        incidental=True,
    )
    failures: int = parameter(
        20,
        "failures in a row after which the run stops, resumable",
        low=1,
        high=1_000_000,
        incidental=True,
    )
    patience: float = parameter(
        600.0,
        "seconds without any answer after which the run stops",
        low=0,
        high=LONGEST_PATIENCE,
        incidental=True,
    )
    backoff: float = parameter(
        0.5,
        "seconds before the second attempt; later delays are longer",
        low=0.001,
        incidental=True,
    )
    canary: int = parameter(
        2000,
        "images between two checks that the model has not changed",
        low=1,
        high=1_000_000_000,
        incidental=True,
    )
    wire: str = parameter(
        "auto", "format of the tensors of oip", choices=("auto", *WIRES), incidental=True
    )
    size: int = parameter(224, "pixels per side, where the service does not tell", low=1, high=4096)
    channels: int = parameter(
        1, "channels of an image, where the service does not tell", low=1, high=16
    )
    compression: int = parameter(
        1, "compression level of PNG: 0 is fast, 9 small", low=0, high=9, incidental=True
    )


def remote_encoder(request: EncoderRequest, parameters: RemoteParameters) -> RemoteEncoder:
    """An encoder behind HTTP; the service has answered at least once.

    Raises:
        ConfigError: A parameter is wrong or missing.
        ServiceError: The service does not answer.
    """
    kind = request.argument
    for name, value in (("device", request.device), ("precision", request.precision)):
        if value != "auto":
            raise ConfigError(
                f"{name} is {value!r}, but encoder {request.name!r} runs elsewhere; leave --{name} out"
            )
    dialect, url, loopback, key_env, secret = _checked(request.name, kind, parameters)
    line = Connections(
        secret=secret,
        key_env=key_env,
        header=dialect.header if dialect else "Authorization",
        scheme=dialect.scheme if dialect else "Bearer ",
        seconds=parameters.timeout,
        largest=MAX_ANSWER_BYTES,
        loopback=loopback,
        doubtful=frozenset({400} if dialect and dialect.failures_are_400 else ()),
        hidden=_hidden(dialect) if kind == "custom" else (),
    )
    policy = RetryPolicy(
        parameters.retries, parameters.failures, parameters.patience, parameters.backoff
    )
    pace = RateLimiter(parameters.rate)
    client = RetryingClient(request.name, line, policy, pace, parameters.price)
    notes = [] if loopback or url.startswith("https:") else [UNENCRYPTED.format(url=url)]
    if (
        secret is not None
        and not parameters.key_env
        and kind != "custom"
        and _is_lent(key_env, url)
    ):
        notes.append(LENT_KEY.format(key_env=key_env, host=urlsplit(url).netloc))
    made = partial(
        RemoteEncoder,
        request.name,
        client=client,
        line=line,
        connections=parameters.connections,
        canary_every=parameters.canary,
        price=parameters.price,
        notes=tuple(notes),
    )
    try:
        if dialect is not None:
            image_shape = (parameters.channels, parameters.size, parameters.size)
            service = PictureService(
                url,
                dialect,
                parameters.model,
                image_shape,
                chunk=parameters.chunk,
                compression=parameters.compression,
            )
            return made(service)
        return _inference(request, url, client, parameters, made)
    except BaseException:
        line.close()
        raise


def _is_lent(key_env: str, url: str) -> bool:
    """Whether the key of a vendor goes to somebody else."""
    host = f".{urlsplit(url).hostname}"
    return key_env in VENDORS and not any(host.endswith(f".{home}") for home in VENDORS[key_env])


def _hidden(dialect: Dialect | None) -> list[str]:
    """Values of a template's headers, and the words in them, that are long enough for a secret."""
    headers = dialect.headers if dialect is not None else {}
    values = [value for name, value in headers.items() if name.lower() not in OPEN_HEADERS]
    texts = [text for value in values for text in (value, *value.split())]
    return [text for text in texts if len(text) >= SECRET_CHARACTERS]


def outlook(argument: str, parameters: RemoteParameters) -> EncoderOutlook:
    """What the parameters and the dialect tell of a service that nothing is sent to.

    Raises:
        ConfigError: A parameter is wrong or missing.
    """
    dialect, *_ = _checked(f"http:{argument}", argument, parameters)
    chunk = parameters.chunk or (dialect.chunk if dialect is not None else 0)
    shape = (parameters.channels, parameters.size, parameters.size)
    shape_known, every = dialect is not None, parameters.canary
    return EncoderOutlook(shape, chunk, parameters.price, shape_known, every)


def _checked(
    name: str, kind: str, parameters: RemoteParameters
) -> tuple[Dialect | None, str, bool, str, str | None]:
    """Dialect, address, whether that is this machine, and the key with its variable.

    Raises:
        ConfigError: A parameter is wrong or missing.
    """
    if kind not in list_services():
        raise ConfigError(
            f"encoder {name!r}: there is no service {kind!r}{nearest(kind, list_services())}; it must "
            f"be one of {', '.join(list_services())}"
        )
    dialect = _dialect(name, kind, parameters)
    url, loopback = checked_url(parameters.url or (dialect.url if dialect else ""))
    key_env = parameters.key_env or (dialect.key_env if dialect else "ZOBENCH_API_KEY")
    return dialect, url, loopback, key_env, _secret(name, key_env, dialect, parameters)


def _inference(
    request: EncoderRequest,
    url: str,
    client: RetryingClient,
    parameters: RemoteParameters,
    made: Callable[[Service], RemoteEncoder],
) -> RemoteEncoder:
    """An encoder behind the Open Inference Protocol: raw bytes if the server reads them."""
    told = partial(read_metadata, url, size=parameters.size, channels=parameters.channels)
    try:
        metadata = client.ask("metadata", 0, Call(url), lambda reply: told(reply=reply))
    except ServiceError as error:
        if error.status == 404:
            error.args = (f"{error}; an address of oip names a model: http://HOST/v2/models/MODEL",)
        raise
    wire = str(request.settings.get("wire", parameters.wire))
    chunk = parameters.chunk or int(request.settings.get("chunk", 0))
    wires = [candidate for candidate in WIRES if wire in ("auto", candidate)]
    policy = client.policy
    for number, candidate in enumerate(wires, 1):
        last = number == len(wires)
        client.policy = policy if last else replace(policy, final=JSON_FALLBACK_STATUSES)
        try:
            return made(InferenceService(url, metadata, candidate, chunk))
        except ServiceError as error:
            if last or error.status not in JSON_FALLBACK_STATUSES:
                raise
            client.begin()
        finally:
            client.policy = policy
    raise AssertionError("unreachable")


def _dialect(name: str, kind: str, parameters: RemoteParameters) -> Dialect | None:
    """The shape of a service that takes pictures; ``None`` for ``oip``, which takes tensors."""
    if kind == "oip":
        return None
    if kind != "custom":
        return DIALECTS[kind]
    if not parameters.template:
        raise ConfigError(f"encoder {name!r} needs --set encoder.template=FILE.toml")
    return read_dialect(expanded(parameters.template))


def _secret(
    name: str, variable: str, dialect: Dialect | None, parameters: RemoteParameters
) -> str | None:
    secret = os.environ.get(variable) or None
    if secret is None and (parameters.key_env or (dialect and dialect.key_needed)):
        raise ConfigError(f"encoder {name!r} needs a key: set the environment variable {variable}")
    if secret is not None and not (secret.isascii() and secret.isprintable()):
        raise ConfigError(
            f"the key in the environment variable {variable} has unprintable characters"
        )
    if secret is not None and len(secret) > MAX_KEY_CHARACTERS:
        raise ConfigError(
            f"the key in the environment variable {variable} has {len(secret):,} characters; at most "
            f"{MAX_KEY_CHARACTERS:,} are sent"
        )
    return secret
