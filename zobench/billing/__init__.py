"""The cost of a rented encoder: the account of a run, and its bill on disk."""
