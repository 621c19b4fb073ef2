"""Suites: many runs declared in one file; only runs that are not done yet are carried out."""

from __future__ import annotations
