"""What many runs will send, cost and take together, before they start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from zobench.config import RunConfig
from zobench.contracts.listener import Listener
from zobench.registry.discovery import Registry
from zobench.runs.forecast import Forecast, at_a_service, forecast_of, seconds_an_image
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
        return sum(each.setup for each in self.forecasts)

    @property
    def optimize(self) -> int:
        """Images that the optimizers may send, at most."""
        return sum(each.optimize for each in self.forecasts)

    @property
    def score(self) -> int:
        """Edited images that scoring sends, at most."""
        return sum(each.score for each in self.forecasts)

    @property
    def check(self) -> int:
        """Images by which encoders check their services, about."""
        return sum(each.check for each in self.forecasts)

    @property
    def images(self) -> int:
        """All images, at most."""
        return sum(each.images for each in self.forecasts)

    @property
    def rented(self) -> bool:
        """Whether an encoder is a service."""
        return any(each.rented for each in self.forecasts)

    @property
    def requests(self) -> int | None:
        """Requests to services, about; ``None`` where one tells its chunk later."""
        return _sum(each.requests for each in self.forecasts if each.rented)

    @property
    def calls(self) -> int | None:
        """Calls of local encoders, about."""
        return _sum(each.requests for each in self.forecasts if not each.rented)

    @property
    def cost(self) -> float | None:
        """The cost at services, at most; ``None`` where a price is not known, or nobody bills."""
        return _sum(each.cost for each in self.forecasts if each.rented) if self.rented else None

    @property
    def seconds(self) -> float | None:
        """Time in local encoders; ``None`` if there is none."""
        known = [each.seconds for each in self.forecasts if each.seconds is not None]
        return sum(known) if known else None

    @property
    def disk(self) -> int:
        """Bytes of the run folders, about."""
        return sum(each.disk for each in self.forecasts)

    def as_dict(self) -> dict[str, Any]:
        """The sum as a JSON object."""
        names = ("setup", "optimize", "score", "check", "images", "rented", "requests", "calls")
        found = {name: getattr(self, name) for name in (*names, "cost", "seconds", "disk")}
        return {"runs": len(self.forecasts), **found}


def _sum(values: Iterable[Number | None]) -> Number | None:
    """The sum; ``None`` if a value is not known."""
    found = list(values)
    known = [each for each in found if each is not None]
    return sum(known[1:], start=known[0]) if known and len(known) == len(found) else None
