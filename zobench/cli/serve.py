"""``zobench serve``."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from zobench.config import RunConfig
from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry
from zobench.runs.parts import make_encoder
from zobench.serving.addresses import is_loopback

from .console import error_console

if TYPE_CHECKING:
    from zobench.serving.difficulties import Difficulties
    from zobench.serving.limits import Limits

EXTRA = ("starlette", "uvicorn", "prometheus_client")


def require_extra() -> None:
    """Raises a ConfigError if the packages of the extra ``serve`` are not installed."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"zobench serve needs {', '.join(missing)}; install: python -m pip install 'zobench[serve]'"
        )


def serve_encoder(
    config: RunConfig,
    name: str | None,
    host: str,
    port: int,
    token_env: str,
    limits: Limits,
    difficulties: Difficulties,
) -> None:
    """Loads the encoder, says where it can be found, and serves until it is told to stop."""
    from zobench.serving.app import Service
    from zobench.serving.running import listen, serve

    token = os.environ.get(token_env) or None
    listening = listen(host, port)
    try:
        model = name or config.encoder.replace("/", "-")
        encoder = make_encoder(config, load_registry())
        for note in encoder.spec.notes:
            error_console().print(f"note: {note}", soft_wrap=True)
        service = Service(encoder, model, limits=limits, difficulties=difficulties, token=token)
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        if not is_loopback(host):
            open_to = "everybody who can reach it" if token is None else "whoever has the token"
            error_console().print(f"note: {host} is served to {open_to}, unencrypted")
        print(f"{model} is served at http://{shown}:{port}/v2/models/{model}", flush=True)
        serve(service, listening)
        encoder.close()
    finally:
        listening.close()
