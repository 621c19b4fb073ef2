"""The output of ``zobench verify``."""

from __future__ import annotations

import json
from dataclasses import asdict

from zobench.runs.verify import TOLERANCE, Verification

from .console import output_console


def print_verification(verification: Verification, as_json: bool) -> None:
    """Prints one sentence, or one JSON object."""
    if as_json:
        finite = verification.difference < float("inf")
        fields = {**asdict(verification), "difference": verification.difference if finite else None}
        print(json.dumps({"holds": verification.holds, **fields}, allow_nan=False))
    else:
        output_console().print(sentence(verification), soft_wrap=True, highlight=False)


def sentence(verification: Verification) -> str:
    """The result in one sentence."""
    what = (
        f"the first {verification.queries:,} queries (asks: {verification.asks}, "
        f"snapshots: {verification.snapshots}) and the setup embeddings"
    )
    difference = verification.difference
    if difference == 0:
        return f"verified: {what} are the same to the last bit"
    if verification.holds:
        return f"verified: {what} agree; the largest relative difference is {difference:.1e}"
    where = (
        f"from ask {verification.first} on"
        if verification.first
        else "in an embedding or a snapshot"
    )
    return (
        f"NOT verified: of {what} some differ, {where}, by more than {TOLERANCE:g} "
        f"(largest relative difference {difference:.1e})"
    )
