"""Finds installed plugins: hook specifications, the ``Plugin`` record and the registry."""
