"""Optimizers that come with zobench, one a file."""
