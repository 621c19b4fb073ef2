"""Trackers that come with zobench, one a module."""
