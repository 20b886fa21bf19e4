"""What MLflow shows of run folders that were shipped to a store under a root."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.runs import spool
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.shipment import Drawer
from difair_hpc.runs.tracking import Tracker, default_uri
from tests.runs.made import put_attempt

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


def drawn(folder: RunFolder, target: Path) -> Iterable[Path]:
    """Stand in for the figures of the report, a room that runs/ does not know."""
    target.mkdir(exist_ok=True)
    (target / "training.png").write_bytes(b"picture")
    return [target / "training.png"]


def tracker(root: Path, draw: Drawer = drawn) -> Tracker:
    return Tracker(default_uri(root), root=root, study="digits", draw=draw)


def ship(root: Path, place: RunFolder, *, times: int = 1, by: Tracker | None = None) -> Tracker:
    by = by or tracker(root)
    for _ in range(times):
        by.ship(place, stage="coarse", label="alpha 10")
    return by


def client(root: Path) -> "MlflowClient":
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=default_uri(root))


def shown(root: Path, kind: str = "run") -> list["Run"]:
    seen = client(root)
    study = seen.get_experiment_by_name("digits")
    assert study is not None
    return list(seen.search_runs([study.experiment_id], f"tags.`difair.kind` = '{kind}'"))


def the_run(root: Path) -> "Run":
    (run,) = shown(root)
    return run


def history(root: Path, name: str) -> list[tuple[int, float, int]]:
    """Return (epoch, value, moment in ms) of all points of a metric, from the table itself: doubles would show."""
    with sqlite3.connect(root / "mlflow.db") as connection:
        rows = connection.execute("select step, value, timestamp from metrics where key = ? order by step", (name,))
        return list(rows)


def put_points(place: RunFolder, epochs: Iterable[int], **metrics: float) -> None:
    points = [{"epoch": e, "time": 1000.5 + e, "metrics": {"train_loss": 1 / e, **metrics}} for e in epochs]
    spool.append(place.path, points, attempt=1)


def put_dead(place: RunFolder, number: int = 1) -> None:
    put_attempt(place.path, number, started=1.0)
