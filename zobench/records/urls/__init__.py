"""Runs that are kept at URLs: the filesystems, the states of a run there, the copies here."""
