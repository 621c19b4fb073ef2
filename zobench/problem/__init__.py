"""What every run is about: images, splits, linear heads, search spaces, 8-bit pixels."""
