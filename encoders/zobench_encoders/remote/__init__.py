"""Encoders behind HTTP: two ways to write images, a table of services, and care on the way."""
