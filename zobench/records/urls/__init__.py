"""Runs at URLs: access to filesystems, the states of a run at its URL, and local copies."""
