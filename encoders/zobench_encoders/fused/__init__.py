"""Networks rebuilt for embeddings without gradients on a CPU: the same numbers, in less time."""
