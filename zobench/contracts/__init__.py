"""What plugins implement and what they are given. Imports :mod:`zobench.errors` and nothing else."""
