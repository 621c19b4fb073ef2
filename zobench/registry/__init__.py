"""Finds installed plugins: the hook specifications, the Plugin record, the discovery."""
