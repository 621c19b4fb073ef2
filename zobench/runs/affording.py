"""Refuses to resume a run at a service where ``max_cost`` could not pay for what comes next."""

from __future__ import annotations

import math

from zobench.billing.bill import read_bill
from zobench.contracts.run_status import RunStatus
from zobench.errors import ConfigError
from zobench.measures.recovery import ROUNDING
from zobench.records.manifest import Manifest
from zobench.records.run_folder import RunFolder
from zobench.registry.discovery import Registry

from .resolved import resolve_config
from .score_plan import images_left_to_score


def require_affordable(
    before: Manifest, begun: Manifest, folder: RunFolder, registry: Registry
) -> None:
    """Refuses to resume a run where ``max_cost`` could not pay for what comes next.

    For every run this is the check of the service. For a finished run it is also one more batch, taken
    to be as large as the last one, and the scores of its edit: without them the run would be no better
    than before.

    Args:
        before: The manifest of the run.
        begun: The manifest with which it would be resumed.
        folder: The run folder.
        registry: Plugins.

    Raises:
        ConfigError: It costs more than ``max_cost`` leaves.
    """
    price, limit = begun.encoder.price, begun.config.max_cost
    bill = read_bill(folder.location, price) if limit and price else None
    if bill is None:
        return
    outlook = resolve_config(begun.config, registry).encoder.outlook
    if outlook is None:
        return
    wanted = min(1, outlook.checks(1))
    words = "to check the service, besides what the run itself sends"
    if before.status is RunStatus.DONE:
        spent = [0, 0, *(row["queries"] for row in folder.trace())]
        more = spent[-1] - spent[-2] + _left_to_score(begun, folder)
        # the images since the last check are not known, so one check more may come
        wanted += more + outlook.checks(more)
        words = "to check the service, for one more batch, and to score its edit"
    payable = bill.total().images_payable
    if (payable + wanted) * price > limit * (1 + ROUNDING):
        least = math.ceil((payable + wanted) * price * 100) / 100
        are = "is" if wanted == 1 else "are"
        raise ConfigError(
            f"max_cost is {limit:g}, but {payable:,} images at {price:g} each were or may be billed, "
            f"and {wanted:,} more {are} needed {words}; nothing was sent. Give --max-cost {least:.12g} "
            "or more"
        )


def _left_to_score(begun: Manifest, folder: RunFolder) -> int:
    split, stored = begun.split, folder.scores()
    counted = 0 if stored is None else stored.counts["forward"]
    snapshots = len(folder.snapshots())
    return images_left_to_score(
        begun.config, snapshots, split.train, split.test, begun.times_scored, counted
    )
