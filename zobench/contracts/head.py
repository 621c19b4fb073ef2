"""The names of the training protocols of linear heads, and of the roles that a head can have."""

from __future__ import annotations

from typing import Literal

HeadProtocol = Literal["converged", "paper"]
PROTOCOLS: tuple[HeadProtocol, ...] = ("converged", "paper")
"""See :mod:`zobench.problem.heads`."""

Role = Literal["sensitive", "disease"]
"""What a head predicts."""
