"""difair-hpc: DIFAIR hyperparameter studies on SLURM clusters and laptops."""

__version__ = "0.1.0"
