"""The parts of a problem: images, splits, linear heads, search spaces, 8-bit pixels."""
