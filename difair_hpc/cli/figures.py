"""The figures of one run, drawn for MLflow: learning curves, and the spread of class weights (Figure 3b)."""

from collections.abc import Iterable
from pathlib import Path

from difair_hpc.runs.folder import RunFolder


def draw_run(folder: RunFolder, target: Path) -> Iterable[Path]:
    """Draw what the run's spool holds into `target` and return the files."""
    from difair_hpc.report.curves import spread_curve, training_curves
    from difair_hpc.report.figures import save

    history = [{"epoch": point["epoch"], **point["metrics"]} for point in folder.points().values()]
    files = list(save(training_curves({folder.signature: history}), target / "training", [".png"]))
    if any(key.startswith("weight_spread.") for key in history[-1]):
        files += save(spread_curve(history, restarts=_restarts(folder)), target / "weight_spread", [".png"])
    return files


def _restarts(folder: RunFolder) -> list[int]:
    protocol = folder.spec().protocol
    return [round(protocol.epochs * cycle / protocol.cycles) for cycle in range(1, protocol.cycles)]
