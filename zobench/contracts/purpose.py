"""What an image is embedded for."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """The purpose that an embedded image is booked under.

    ``CHECK`` occurs in the bill of a rented encoder only.
    """

    CHECK = "check"
    """The encoder asks on its own: what the service is, and whether it is still the same."""
    SETUP = "setup"
    """The clean training images are embedded, once in a run."""
    OPTIMIZE = "optimize"
    """The optimizer asks; the budget limits these."""
    SCORE = "score"
    """The scorer embeds edited images; never charged to the optimizer."""


LEDGER_PURPOSES = (Purpose.SETUP, Purpose.OPTIMIZE, Purpose.SCORE)
"""The purposes of a run's ledger, in the order of tables."""
