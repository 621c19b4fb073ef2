"""What the images of a rented encoder cost: the account of a run, and its bill on disk."""
