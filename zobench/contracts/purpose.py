"""The purposes that embedded images are booked under."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """The purpose that an embedded image is booked under.

    ``CHECK`` occurs in the bill of a rented encoder only, and ``LOCAL`` only in the ledger of a run
    whose optimizer borrows an encoder.
    """

    CHECK = "check"
    """The encoder checks the service: its description, and whether it has changed."""
    SETUP = "setup"
    """The clean training images are embedded, once in a run."""
    OPTIMIZE = "optimize"
    """Images of the optimizer's asks; the budget limits their queries."""
    SCORE = "score"
    """The scorer embeds edited images; never charged to the optimizer."""
    LOCAL = "local"
    """Images of the encoder that an optimizer runs on the client's own machine; never charged."""


SENT_PURPOSES = (Purpose.SETUP, Purpose.OPTIMIZE, Purpose.SCORE)
"""The purposes of images that the run's encoder gets, in the order of tables."""
