"""Engines that the runs of a suite are carried out by: this machine, a Ray cluster, SLURM."""
