"""Compares groups of runs with each other, and checks runs against a committed baseline file."""
