"""Encoders behind HTTP: two request formats, a table of services, and retries."""
