"""Compares groups of runs with each other, and holds runs to a committed baseline."""
