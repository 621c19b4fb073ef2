"""Stored runs with changed values: status, config, scores, queries spent."""

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
    """The same run with changed values.

    Args:
        run: The run.
        edits: Number of rows of scores to keep, including ERM; 0 for none.
        spent: Queries that the optimizer has spent.
        config: Changed fields of the config.
        **manifest: Changed fields of the manifest.
    """
    other = StoredRun(run.location, run._registry)
    changed = run.manifest.changed(**manifest)
    vars(other.files)["manifest"] = changed.changed(config=changed.config.changed(**config or {}))
    scores = run.files.scores
    if edits is not None:
        assert scores is not None
        kept = list(scores.edits)[:edits]
        few = replace(scores, edits=kept, controls={}, combined=None)
        vars(other.files)["scores"] = few if edits else None
    ledger = {purpose: dict(counts) for purpose, counts in run.ledger.items()}
    if spent is not None:
        ledger["optimize"]["queries"] = spent
    vars(other.files)["ledger"] = ledger
    return other


def with_metric(run: StoredRun, name: str, change: Any) -> StoredRun:
    """The same run, with ``change`` applied to the ``(S, R + 1)`` values of a metric."""
    other = pretended(run)
    assert run.results is not None
    results = copy.copy(run.results)
    found: Resamples = copy.copy(results.resamples)
    metric = next(each for each in run.metrics if each.name == name)
    rows = range(len(found.recoveries.gap))
    values = change(np.stack([found.of(metric, row) for row in rows]))
    found._metrics = {**found._metrics, **{(name, row): values[row] for row in rows}}
    vars(results)["resamples"] = found
    vars(results).pop("for_means", None)
    vars(other)["results"] = results
    return other
