"""Stored runs that pretend to be others: with another status, other scores, another request."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from zobench.measures.resampling import Resamples
from zobench.records.stored_run import StoredRun


def pretended(
    run: StoredRun,
    *,
    edits: int | None = None,
    spent: int | None = None,
    config: dict[str, Any] | None = None,
    **manifest: Any,
) -> StoredRun:
    """The same run with other fields of its manifest.

    Args:
        run: The run.
        edits: Only so many rows of scores, ERM included; 0 for none.
        spent: Queries that its optimizer has spent.
        config: Other fields of its config.
        **manifest: Other fields of its manifest.
    """
    other = StoredRun(run.location, run._registry)
    changed = run.manifest.changed(**manifest)
    vars(other)["manifest"] = changed.changed(config=changed.config.changed(**config or {}))
    scores = run.stored_scores
    if edits is not None:
        assert scores is not None
        few = replace(scores, edits=list(scores.edits)[:edits])
        vars(other)["stored_scores"] = few if edits else None
    ledger = {purpose: dict(counts) for purpose, counts in run.ledger.items()}
    if spent is not None:
        ledger["optimize"]["queries"] = spent
    vars(other)["ledger"] = ledger
    return other


def with_metric(run: StoredRun, name: str, change: Any) -> StoredRun:
    """The same run whose metric is changed by a function of its ``(S + 1, R + 1)`` values."""
    other = pretended(run)
    assert run.resamples is not None
    found: Resamples = copy.copy(run.resamples)
    metric = next(each for each in run.metrics if each.name == name)
    found._metrics = {**found._metrics, name: change(np.array(found.of(metric)))}
    vars(other)["resamples"] = found
    return other
