"""Carries out one run: its parts, its phases, the loop, scoring, resuming, replay, verification."""
