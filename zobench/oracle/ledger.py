"""Who spent how many queries, on what."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

Purpose = Literal["setup", "optimize", "score"]
PURPOSES: tuple[Purpose, ...] = ("setup", "optimize", "score")


@dataclass
class Counts:
    """Counts of one purpose.

    Attributes:
        queries: What the budget limits: forward + backward_cost * backward.
        forward: Images embedded.
        backward: Images that a gradient went back through.
        evaluations: Values of the objective.
        requests: Calls of the encoder.
    """

    queries: int = 0
    forward: int = 0
    backward: int = 0
    evaluations: int = 0
    requests: int = 0


@dataclass
class Ledger:
    """The counts of a run by purpose; only ``optimize`` is charged to the optimizer.

    Attributes:
        backward_cost: Queries that one image's backward pass counts for. Twice a forward pass is
            the usual ratio of floating-point operations; ``backward`` is kept apart, so that any
            other weight can be applied afterwards.
    """

    backward_cost: int = 2
    setup: Counts = field(default_factory=Counts)
    optimize: Counts = field(default_factory=Counts)
    score: Counts = field(default_factory=Counts)

    def of(self, purpose: Purpose) -> Counts:
        """The counts of one purpose."""
        return {"setup": self.setup, "optimize": self.optimize, "score": self.score}[purpose]

    def price(self, images: int, *, gradient: bool) -> int:
        """Queries that embedding ``images`` costs, with or without the way back."""
        return images * (1 + self.backward_cost) if gradient else images

    def charge(self, purpose: Purpose, images: int, *, gradient: bool = False) -> None:
        """Books ``images`` embedded for ``purpose``."""
        counts = self.of(purpose)
        counts.queries += self.price(images, gradient=gradient)
        counts.forward += images
        counts.backward += images if gradient else 0

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Counts by purpose, for JSON."""
        return {purpose: asdict(self.of(purpose)) for purpose in PURPOSES}
