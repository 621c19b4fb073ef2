"""What many runs will send, cost and take together, before they start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.registry.discovery import Registry
from zobench.runs.forecast import (
    Forecast,
    at_a_service,
    forecast_of,
    seconds_an_image,
    tell_of_the_data,
)
from zobench.runs.resolved import resolve_config
from zobench.runs.shared_parts import SharedParts

Number = TypeVar("Number", int, float)


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
    forecasts, measured, told = [], dict[int, float](), set[str]()

    def note(text: str) -> None:  # once, though many runs are on the same data
        if text not in told:
            told.add(text)
            listener.note(text)

    with SharedParts(registry, listener) as shared:
        for config in configs:
            resolved = resolve_config(config, registry)
            if (outlook := resolved.encoder.outlook) is not None:
                forecasts.append(at_a_service(resolved, outlook, note))
                continue
            parts = shared.parts(config)
            tell_of_the_data(parts, note)
            key = id(parts.encoder)
            if key not in measured:
                measured[key] = seconds_an_image(parts.encoder)
            forecasts.append(forecast_of(parts, measured[key]))
    return forecasts


@dataclass(frozen=True)
class Total:
    """The sum of forecasts.

    Attributes:
        forecasts: One a run.
    """

    forecasts: tuple[Forecast, ...]

    @property
    def setup(self) -> int:
        """Clean training images."""
        return sum(forecast.setup for forecast in self.forecasts)

    @property
    def optimize(self) -> int:
        """Images that the optimizers may send, at most."""
        return sum(forecast.optimize for forecast in self.forecasts)

    @property
    def score(self) -> int:
        """Edited images that scoring sends, at most."""
        return sum(forecast.score for forecast in self.forecasts)

    @property
    def check(self) -> int:
        """Images by which encoders check their services, about."""
        return sum(forecast.check for forecast in self.forecasts)

    @property
    def images(self) -> int:
        """All images, at most."""
        return sum(forecast.images for forecast in self.forecasts)

    @property
    def rented(self) -> bool:
        """Whether an encoder is a service."""
        return any(forecast.rented for forecast in self.forecasts)

    @property
    def requests(self) -> int | None:
        """Requests to services, about; ``None`` where one tells its chunk later."""
        return _sum(forecast.requests for forecast in self.forecasts if forecast.rented)

    @property
    def calls(self) -> int | None:
        """Calls of local encoders, about."""
        return _sum(forecast.requests for forecast in self.forecasts if not forecast.rented)

    @property
    def cost(self) -> float | None:
        """The cost at services, at most; ``None`` where a price is not known, or nobody bills."""
        return (
            _sum(forecast.cost for forecast in self.forecasts if forecast.rented)
            if self.rented
            else None
        )

    @property
    def seconds(self) -> float | None:
        """Time in local encoders; ``None`` if there is none."""
        times = [forecast.seconds for forecast in self.forecasts if forecast.seconds is not None]
        return sum(times) if times else None

    @property
    def disk(self) -> int:
        """Bytes of the run folders, about."""
        return sum(forecast.disk for forecast in self.forecasts)

    def as_dict(self) -> dict[str, Any]:
        """The sum as a JSON object."""
        names = ("setup", "optimize", "score", "check", "images", "rented", "requests", "calls")
        totals = {name: getattr(self, name) for name in (*names, "cost", "seconds", "disk")}
        return {"runs": len(self.forecasts), **totals}


def _sum(values: Iterable[Number | None]) -> Number | None:
    """The sum; ``None`` if a value is not known."""
    numbers = list(values)
    given = [number for number in numbers if number is not None]
    return sum(given[1:], start=given[0]) if given and len(given) == len(numbers) else None
