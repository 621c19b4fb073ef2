"""The names of the training protocols of linear heads, and of the roles that a head can have."""

from __future__ import annotations

from typing import Literal

HeadProtocol = Literal["converged", "paper"]
PROTOCOLS: tuple[HeadProtocol, ...] = ("converged", "paper")
"""The training protocols; :mod:`zobench.problem.heads` describes them."""

Role = Literal["sensitive", "disease"]
"""The attribute that a head predicts."""
