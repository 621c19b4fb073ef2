"""Datasets that come with zobench."""
