"""Training: schedule, checkpoints, evaluation and the loop; knows neither MLflow nor SLURM."""
