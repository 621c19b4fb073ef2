"""``zobench serve``: an encoder behind HTTP."""

from __future__ import annotations

import importlib.util
import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from zobench.config import RunConfig, parse_overrides
from zobench.errors import ConfigError

from .options import DEFAULTS, EncoderSettings

if TYPE_CHECKING:
    from zobench.serving.fault_injection import FaultInjection
    from zobench.serving.limits import Limits

TOKEN_ENV = "ZOBENCH_SERVE_TOKEN"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
UNNAMEABLE = re.compile(r"[^A-Za-z0-9._:-]")
"""A character of an encoder's name that a part of an address cannot have as it is."""
EXTRA = ("starlette", "uvicorn", "prometheus_client")


def serve(
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free port.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, typer.Option(help="Model name in the address; default: the encoder's name.")
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(
            help=f"Environment variable with the bearer token; default: {TOKEN_ENV}, if it is set."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: EncoderSettings = None,
    max_images: Annotated[int, typer.Option(help="Images in a request.", min=1, max=65_536)] = 256,
    max_body: Annotated[int, typer.Option(help="MiB of a request's body.", min=1, max=2_048)] = 64,
    max_requests: Annotated[
        int, typer.Option(help="Requests at a time; more get 429.", min=1, max=10_000)
    ] = 64,
    max_waiting: Annotated[
        int,
        typer.Option(help="Images waiting for the encoder; more get 429.", min=1, max=10_000_000),
    ] = 4096,
    latency: Annotated[float, typer.Option(help="Simulate: seconds added per request.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Simulate: largest random delay in s.")] = 0.0,
    fail_rate: Annotated[float, typer.Option(help="Simulate: share of failed requests.")] = 0.0,
    rate_limit: Annotated[int, typer.Option(help="Simulate: images per minute; 0: no limit.")] = 0,
    quantize: Annotated[int, typer.Option(help="Simulate: 8 rounds pixels, 0 does not.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated faults.")] = 0,
) -> None:
    """Serve an encoder over HTTP: Open Inference Protocol v2, and embeddings in OpenAI's shape."""
    require_extra()
    if name is not None and not MODEL_NAME.fullmatch(name):
        raise ConfigError(
            f"--name is {name!r}, but is a part of the address: it must be of letters, digits, dots, "
            "colons, hyphens and underscores, the first a letter or digit"
        )
    from zobench.serving.fault_injection import FaultInjection
    from zobench.serving.limits import Limits

    config = RunConfig(
        encoder=encoder,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or [], ("encoder",)),
    )
    limits = Limits(
        body=max_body * 2**20,
        held=max(Limits.held, 2 * max_body * 2**20),
        images=max_images,
        requests=max_requests,
        waiting=max_waiting,
    )
    faults = FaultInjection(latency, jitter, fail_rate, rate_limit, quantize, seed)
    _serve_encoder(config, name, host, port, token_env, limits, faults)


def require_extra() -> None:
    """Raises a ConfigError if the packages of the extra ``serve`` are not installed."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"zobench serve needs {', '.join(missing)}; install: python -m pip install 'zobench[serve]'"
        )


def _token(variable: str | None) -> str | None:
    """The bearer token; ``None`` if no variable was named and the usual one is not set.

    Raises:
        ConfigError: A variable was named and is not set, or the token is empty, or a header cannot
            carry it as it is.
    """
    name = variable or TOKEN_ENV
    token = os.environ.get(name)
    if token is None:
        if variable is None:
            return None
        raise ConfigError(
            f"--token-env is {name!r}, but that environment variable is not set, and the service would "
            "be open to everybody; set it, or leave --token-env out"
        )
    if not token.strip():
        raise ConfigError(
            f"the environment variable {name} is empty, and a token cannot be; set it, or unset it to "
            "serve without a token"
        )
    if not (token.isascii() and token.isprintable() and token == token.strip()):
        raise ConfigError(
            f"the token in {name} has blanks around it, or characters that a header cannot carry; take "
            "them away"
        )
    return token


def _serve_encoder(
    config: RunConfig,
    name: str | None,
    host: str,
    port: int,
    token_env: str | None,
    limits: Limits,
    faults: FaultInjection,
) -> None:
    """Loads the encoder, prints its address, and serves it until SIGTERM or Ctrl-C."""
    from zobench.registry.discovery import load_registry
    from zobench.runs.parts import make_encoder
    from zobench.runs.resolved import resolve_plugin
    from zobench.serving.addresses import is_loopback
    from zobench.serving.app import Service
    from zobench.serving.running import listen
    from zobench.serving.running import serve as serve_until_stopped

    from .display.console import note

    token = _token(token_env)
    listening = listen(host, port)
    try:
        model = name or UNNAMEABLE.sub("-", config.encoder)
        overrides = config.overrides.get("encoder", {})
        plugin = resolve_plugin("encoder", config.encoder, overrides, load_registry())
        encoder = make_encoder(config, plugin)
        for text in encoder.spec.notes:
            note(text)
        service = Service(encoder, model, limits=limits, faults=faults, token=token)
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        if not is_loopback(host):
            open_to = (
                "everybody who can reach it" if token is None else "everybody who has the token"
            )
            note(f"{host} is served to {open_to}, unencrypted")
        print(f"{model} is served at http://{shown}:{port}/v2/models/{model}", flush=True)
        serve_until_stopped(service, listening, limits)
        encoder.close()
    finally:
        listening.close()
