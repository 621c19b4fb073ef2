"""Networks rebuilt for embeddings without gradients: the same numbers, in less time."""
