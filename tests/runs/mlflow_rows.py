"""What an MLflow database holds of one output root, read from its tables: nothing in between could hide a double."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.store import root_name
from difair_hpc.runs.tracking import Tracker
from tests.mlflow_server import MlflowServer

Row = tuple[str, int, int, float | None]
"""Metric, step, moment in ms, value; None for NaN."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A store in which an output root is shown: a file, or a server with a file behind it."""

    root: Path
    uri: str
    database: Path

    def tracker(self) -> Tracker:
        return Tracker(self.uri, root=self.root, study="digits")

    def points(self, signature: str) -> list[Row]:
        """Return all rows of a run's metrics, sorted."""
        found = self._ask(
            "select key, step, timestamp, case when is_nan then null else value end from metrics m where run_uuid in "
            "(select run_uuid from tags where key = 'difair.signature' and value = ?)",
            signature,
        )
        return sorted((key, step, moment, value) for key, step, moment, value in found)

    def epochs(self, signature: str, metric: str = "train_loss") -> list[int]:
        return [step for key, step, _, _ in self.points(signature) if key == metric]

    def latest(self, signature: str) -> dict[str, int]:
        """Return metric to the step of the value that the table of runs shows."""
        found = self._ask(
            "select key, step from latest_metrics m where run_uuid in "
            "(select run_uuid from tags where key = 'difair.signature' and value = ?)",
            signature,
        )
        return {str(key): int(step) for key, step in found}

    def tag(self, signature: str, key: str) -> str:
        ((value,),) = self._ask(
            "select value from tags m where key = ? and run_uuid in "
            "(select run_uuid from tags where key = 'difair.signature' and value = ?)",
            key,
            signature,
        )
        return str(value)

    def statuses(self, kind: str = "run") -> list[tuple[str, int]]:
        """Return status and end (ms; 0: none) of the active runs of a kind."""
        found = self._ask(
            "select status, coalesce(end_time, 0) from runs m where run_uuid in "
            "(select run_uuid from tags where key = 'difair.kind' and value = ?)",
            kind,
        )
        return [(str(status), int(end)) for status, end in found]

    def _ask(self, question: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask about rows `m` of active runs of this output root."""
        ours = (
            " and run_uuid in (select run_uuid from tags where key = 'difair.root' and value = ?)"
            " and run_uuid in (select run_uuid from runs where lifecycle_stage = 'active')"
        )
        connection = sqlite3.connect(self.database)
        try:
            return list(connection.execute(question + ours, (*values, root_name(self.root))))
        finally:
            connection.close()


def behind(server: MlflowServer, root: Path) -> Shown:
    return Shown(root=root, uri=server.uri, database=server.database)


def ship(tracker: Tracker, place: RunFolder) -> None:
    tracker.ship(place, stage="coarse", label="alpha 10")
