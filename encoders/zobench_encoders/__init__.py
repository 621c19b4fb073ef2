"""The encoders that come with zobench: local vision transformers, and the bundled weights."""
