"""What a run that goes on can still pay, told before its service is asked anything."""

from __future__ import annotations

import math

from zobench.billing.bill import read_bill
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.measures.recovery import ROUNDING
from zobench.records.manifest import Manifest
from zobench.records.run_folder import RunFolder

from .score_plan import most_images

CHECK = 1
"""Images by which an encoder checks its service when it is reached."""


def require_money(before: Manifest, begun: Manifest, folder: RunFolder) -> None:
    """Refuses to go on where ``max_cost`` could not pay what comes next.

    That is the check of the service. Of a finished run it is also one more batch, taken to be as large
    as the last one, and the scores of its snapshot: without them the run would be no better than before.

    Args:
        before: The manifest of the run.
        begun: The manifest with which it would go on.
        folder: The run folder.

    Raises:
        ConfigError: It costs more than ``max_cost`` leaves.
    """
    price, limit = begun.encoder.price, begun.config.max_cost
    bill = read_bill(folder.location, price) if limit and price else None
    if bill is None:
        return
    payable, wanted, words = bill.total().images_payable, CHECK, "to check the service"
    if before.status is RunStatus.DONE:
        spent = [0, 0, *(row["queries"] for row in folder.trace())]
        wanted += spent[-1] - spent[-2] + _images_to_score(begun, folder)
        words += ", for one more batch, and to score its edit"
    if (payable + wanted) * price > limit * (1 + ROUNDING):
        least = math.ceil((payable + wanted) * price * 100) / 100
        raise ConfigError(
            f"max_cost is {limit:g}, but {payable:,} images at {price:g} each were or may be billed, "
            f"and {wanted:,} more are needed {words}; nothing was sent. Give --max-cost {least:.12g} or "
            "more"
        )


def _images_to_score(begun: Manifest, folder: RunFolder) -> int:
    """Images that scoring one more snapshot sends, at most."""
    split, stored = begun.split, folder.scores()
    sizes = split.train, split.test
    most = most_images(begun.config, len(folder.snapshots()) + 1, *sizes, begun.times_scored)
    return max(0, most - (0 if stored is None else stored.counts["forward"]))
