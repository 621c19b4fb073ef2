"""The tables and figures of Jin et al., MICCAI 2024, measured again."""
