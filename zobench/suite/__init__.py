"""Many runs declared in one file: what is missing is run, what is there is read."""

from __future__ import annotations
