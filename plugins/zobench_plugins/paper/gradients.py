"""Refuses rows that attack images through the encoder where it gives no gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

from zobench.config import RunConfig
from zobench.contracts.method import needs_gradients
from zobench.errors import ConfigError
from zobench.registry.discovery import Registry
from zobench.runs.parts import make_encoder
from zobench.runs.resolved import resolve_plugin


def require_gradients(
    methods: Iterable[str], given: bool, config: RunConfig, registry: Registry
) -> None:
    """Refuses methods that need gradients where the encoder of a config gives none.

    Raises:
        ConfigError: The encoder gives none, and a method needs them.
    """
    if given or not (needing := _needing(methods, registry)):
        return
    left_out = " ".join(f"--without {name}" for name in needing)
    raise ConfigError(
        f"method {', '.join(needing)} needs gradients, which encoder {config.encoder!r} does not give; "
        f"leave it out ({left_out}), or use a white-box encoder"
    )


def require_before_any_run(methods: Sequence[str], config: RunConfig, registry: Registry) -> None:
    """Refuses methods that need gradients before any run starts; a service is not asked for that.

    Raises:
        ConfigError: The encoder gives no gradients, and a method needs them.
        EncoderError: The encoder cannot be loaded.
    """
    if not _needing(methods, registry):
        return
    plugin = resolve_plugin(
        "encoder", config.encoder, config.overrides.get("encoder", {}), registry
    )
    given = False
    if plugin.outlook is None:
        with closing(make_encoder(config, plugin)) as encoder:
            given = encoder.spec.differentiable
    require_gradients(methods, given, config, registry)


def _needing(methods: Iterable[str], registry: Registry) -> list[str]:
    return [
        name for name in methods if needs_gradients(registry.find("methods", name)[0].plugin.load())
    ]
