"""Reads and writes JSON and tensor files so that a crash does not damage them; no pickle."""
