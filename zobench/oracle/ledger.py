"""The ledger of a run: images, evaluations and encoder calls by purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from zobench.contracts.purpose import SENT_PURPOSES, Purpose


@dataclass
class Counts:
    """Counts of one purpose.

    Attributes:
        queries: forward + backward_cost * backward; the budget limits this number.
        forward: Images embedded.
        backward: Images in backward passes.
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

    Images and calls are booked by :class:`zobench.oracle.metered_encoder.MeteredEncoder` alone,
    evaluations by :class:`zobench.oracle.oracle.Oracle`.

    Attributes:
        backward_cost: Queries that one image's backward pass counts for. Twice a forward pass is
            the usual ratio of floating-point operations; ``backward`` is counted separately, so any
            other weight can be applied afterwards.
    """

    backward_cost: int = 2
    setup: Counts = field(default_factory=Counts)
    optimize: Counts = field(default_factory=Counts)
    score: Counts = field(default_factory=Counts)
    local: Counts = field(default_factory=Counts)

    def of(self, purpose: Purpose) -> Counts:
        """The counts of one purpose.

        Raises:
            ValueError: The purpose is ``check``, which occurs only in the bill of a service.
        """
        if purpose is Purpose.CHECK:
            raise ValueError("the ledger of a run has no purpose 'check'")
        counts: Counts = getattr(self, purpose.value)
        return counts

    def put(self, purpose: Purpose, counts: Counts | Mapping[str, int]) -> None:
        """Replaces the counts of one purpose, such as with the counts of a checkpoint."""
        copied = replace(counts) if isinstance(counts, Counts) else Counts(**counts)
        self.of(purpose)
        setattr(self, purpose.value, copied)

    def add(self, purpose: Purpose, counts: Counts) -> None:
        """Adds counts that were booked in another ledger for the same images."""
        mine = self.of(purpose)
        for name, value in asdict(counts).items():
            setattr(mine, name, getattr(mine, name) + value)

    def price(self, images: int, *, gradient: bool) -> int:
        """Queries that embedding ``images`` costs, with or without the backward pass."""
        return images * (1 + self.backward_cost) if gradient else images

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Counts by purpose, for JSON; ``local`` only where an optimizer borrowed an encoder."""
        purposes = [*SENT_PURPOSES, *([Purpose.LOCAL] if self.local != Counts() else [])]
        return {purpose.value: asdict(self.of(purpose)) for purpose in purposes}
