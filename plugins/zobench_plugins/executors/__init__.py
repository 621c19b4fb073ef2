"""Executors that carry out the runs of a suite: this machine, a Ray cluster, SLURM."""
