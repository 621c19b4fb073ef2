"""Rows of the paper's tables, one file a method."""
