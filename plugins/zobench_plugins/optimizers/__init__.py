"""The optimizers that come with zobench, one module per optimizer."""
