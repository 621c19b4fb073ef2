"""What many runs will send, cost and take together, before they start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.registry.discovery import Registry
from zobench.runs.forecast import Forecast, at_a_service, forecast_of, seconds_an_image
from zobench.runs.resolved import resolve_config
from zobench.runs.shared_parts import SharedParts


def foresee_all(
    configs: Iterable[RunConfig], registry: Registry, listener: Listener
) -> list[Forecast]:
    """The forecast of each run; every local encoder is loaded and timed once.

    What runs share, such as clean embeddings, is counted for each.

    Raises:
        ConfigError: A name or a parameter is wrong, or two parts are incompatible.
        DatasetError: A file or a row of a dataset is wrong.
        EncoderError: A local encoder cannot be loaded.
    """
    found, measured = [], dict[int, float]()
    with SharedParts(registry, listener) as shared:
        for config in configs:
            resolved = resolve_config(config, registry)
            if (outlook := resolved.encoder.outlook) is not None:
                found.append(at_a_service(resolved, outlook))
                continue
            parts = shared.parts(config)
            key = id(parts.encoder)
            if key not in measured:
                measured[key] = seconds_an_image(parts.encoder)
            found.append(forecast_of(parts, measured[key]))
    return found


def total(forecasts: Sequence[Forecast]) -> Forecast:
    """The sum of forecasts; prices are those of the dearest, and a time is known if all are."""
    seconds = [each.seconds for each in forecasts]
    known = [each for each in seconds if each is not None]
    return Forecast(
        setup=sum(each.setup for each in forecasts),
        optimize=sum(each.optimize for each in forecasts),
        score=sum(each.score for each in forecasts),
        least=sum(each.least for each in forecasts),
        chunk=max(each.chunk for each in forecasts),
        price=max(each.price for each in forecasts),
        rented=any(each.rented for each in forecasts),
        seconds=sum(known) if len(known) == len(seconds) else None,
        disk=sum(each.disk for each in forecasts),
    )
