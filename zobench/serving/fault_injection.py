"""Simulated faults of a service: delays, failures, a rate limit; repeatable by a seed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from zobench.errors import ConfigError

LARGEST = {"latency": 3_600, "jitter": 3_600, "rate_limit": 1_000_000_000}
"""The largest value of each setting."""


@dataclass(frozen=True)
class FaultInjection:
    """Settings of the simulated faults.

    Attributes:
        latency: Seconds added to every request.
        jitter: Largest random delay in seconds, added to ``latency``; uniform.
        fail_rate: Share of requests that are answered with 500 and not embedded.
        rate_limit: Images per minute; more are answered with 429. 0 for no limit.
        quantize: 8 to round pixels as picture files do; 0 for exact floats.
        seed: The seed of the random delays and failures.
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
            if not 0 <= getattr(self, name) <= LARGEST[name]:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, but must be from 0 to {LARGEST[name]:,}"
                )
        if not 0 <= self.fail_rate <= 1:
            raise ConfigError(f"fail_rate is {self.fail_rate!r}, but must be from 0 to 1")
        if self.quantize not in (0, 8):
            raise ConfigError(f"quantize is {self.quantize!r}, but must be 8, or 0")


class Dice:
    """Draws the faults of each request, in the order of arrival."""

    def __init__(self, faults: FaultInjection) -> None:
        self._of = faults
        self._random = random.Random(faults.seed)

    def fails(self) -> bool:
        """Whether this request fails."""
        return self._random.random() < self._of.fail_rate

    def delay(self) -> float:
        """Seconds by which this request is late."""
        return self._of.latency + self._of.jitter * self._random.random()


class RateLimit:
    """A token bucket: holds one minute of images and fills at a constant rate."""

    def __init__(self, images_a_minute: int) -> None:
        self._rate = images_a_minute / 60
        self._room = self._size = float(images_a_minute)
        self._seen = time.monotonic()

    def admit(self, images: int) -> float:
        """0 if the given number of images may pass now, else the seconds to wait.

        A full bucket lets a request pass that has more images than the bucket holds.
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
