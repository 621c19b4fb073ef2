"""Counters of served requests and images, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter


@dataclass
class Counters:
    """Counts of requests and images since the start of the service."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.requests = Counter(
            "zobench_requests", "Requests by status.", ["status"], registry=self.registry
        )
        self.images = Counter(
            "zobench_images",
            "Images by outcome: embedded, refused (429) or failed (5xx).",
            ["outcome"],
            registry=self.registry,
        )
