"""Tests of slurm/services."""
