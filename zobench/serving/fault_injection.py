"""Playing the difficult API: slow, failing, limited; seeded, so that a rehearsal can be repeated."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from zobench.errors import ConfigError


@dataclass(frozen=True)
class FaultInjection:
    """What a server does on purpose.

    Attributes:
        latency: Seconds added to every request.
        jitter: Largest number of seconds added on top, drawn evenly.
        fail_rate: Share of requests answered 500, before any work.
        rate_limit: Images a minute; more are answered 429. 0 for no limit.
        quantize: 8 to round pixels as picture files do; 0 for exact floats.
        seed: Of the draws.
    """

    latency: float = 0.0
    jitter: float = 0.0
    fail_rate: float = 0.0
    rate_limit: int = 0
    quantize: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ConfigError: A value is outside of its range.
        """
        for name in ("latency", "jitter", "rate_limit"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)!r}, but must be at least 0")
        if not 0 <= self.fail_rate <= 1:
            raise ConfigError(f"fail_rate is {self.fail_rate!r}, but must be from 0 to 1")
        if self.quantize not in (0, 8):
            raise ConfigError(f"quantize is {self.quantize!r}, but must be 8, or 0")


class Dice:
    """Draws the difficulties of each request, in the order of arrival."""

    def __init__(self, difficulties: FaultInjection) -> None:
        self._of = difficulties
        self._random = random.Random(difficulties.seed)

    def fails(self) -> bool:
        """Whether this request fails."""
        return self._random.random() < self._of.fail_rate

    def delay(self) -> float:
        """Seconds by which this request is late."""
        return self._of.latency + self._of.jitter * self._random.random()


class RateLimit:
    """A bucket that holds a minute's worth of images and fills evenly."""

    def __init__(self, images_a_minute: int) -> None:
        self._rate = images_a_minute / 60
        self._room = self._size = float(images_a_minute)
        self._seen = time.monotonic()

    def admit(self, images: int) -> float:
        """0 if so many images may pass now, else the seconds to wait.

        More than the bucket holds may pass when it is full.
        """
        if not self._rate:
            return 0.0
        now = time.monotonic()
        self._room = min(self._size, self._room + (now - self._seen) * self._rate)
        self._seen = now
        missing = min(float(images), self._size) - self._room
        if missing > 0:
            return missing / self._rate
        self._room -= images
        return 0.0
