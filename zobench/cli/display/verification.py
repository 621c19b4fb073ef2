"""The output of ``zobench verify``."""

from __future__ import annotations

import json
from dataclasses import asdict

from zobench.runs.verify import TOLERANCE, Verification

from .console import output_console


def print_verification(found: Verification, as_json: bool) -> None:
    """Prints one sentence, or one JSON object."""
    if as_json:
        finite = found.difference < float("inf")
        fields = {**asdict(found), "difference": found.difference if finite else None}
        print(json.dumps({"holds": found.holds, **fields}, allow_nan=False))
    else:
        output_console().print(sentence(found), soft_wrap=True, highlight=False)


def sentence(found: Verification) -> str:
    """The result in one sentence."""
    what = (
        f"the first {found.queries:,} queries (asks: {found.asks}, snapshots: {found.snapshots}) and "
        "the setup embeddings"
    )
    if found.difference == 0:
        return f"verified: {what} are the same to the last bit"
    if found.holds:
        return f"verified: {what} agree; the largest relative difference is {found.difference:.1e}"
    where = f"from ask {found.first} on" if found.first else "in an embedding or a snapshot"
    return (
        f"NOT verified: of {what} some differ, {where}, by more than {TOLERANCE:g} "
        f"(largest relative difference {found.difference:.1e})"
    )
