"""A run on disk: the folder that a run writes, and the stored run that everybody else reads."""
