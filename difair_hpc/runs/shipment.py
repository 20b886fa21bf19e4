"""One run on its way to MLflow, part by part: points, result, status, files, figures, model; then a tag."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.runs.artifacts import log_folder
from difair_hpc.runs.folder import RunFolder, RunState
from difair_hpc.runs.parts import Parts, Target
from difair_hpc.runs.points import CAREFUL_BATCH, batches, of_result
from difair_hpc.runs.reap import end_of, status_of
from difair_hpc.runs.refused import Key, digest_of
from difair_hpc.runs.store import FINAL, Store, settle

if TYPE_CHECKING:
    from mlflow.entities import Run

SHIPPED = "difair.shipped_epoch"
"""Tag that says up to which epoch MLflow has every point; it may be behind, and is never ahead."""

Drawer = Callable[[RunFolder, Path], Iterable[Path]]
"""Draws a run's figures into a folder and returns their paths."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is shipped, and where to."""

    store: Store
    key: Key
    """What the MLflow run stands for."""
    run: "Run"
    """As it was last read."""
    folder: RunFolder
    parts: Parts
    draw: Drawer | None = None
    """Draws the figures of a run that is done."""
    files: bool = True
    """Whether files, figures and model are shipped, and the run is called final."""

    def ship(self, state: RunState, points: Mapping[int, Mapping[str, Any]]) -> bool:
        """Ship all parts; return whether each is settled: MLflow has it, or has refused it for good."""
        target, result = Target(self.store, self.key, self.run.info.run_id), state.result
        settled = [self.parts.ship(target, "metrics", str(len(points)), lambda: self._points(points))]
        if result is not None:
            settled.append(self.parts.ship(target, "result", _digest(result), lambda: self._result(result, points)))
        settle(self.store.client, self.run, status_of(state), end_of(state))
        if result is not None and self.files:
            settled += self._files(target, result)
            if all(settled):
                self.store.client.set_tag(target.run_id, FINAL, "true")
        return all(settled)

    def _points(self, points: Mapping[int, Mapping[str, Any]]) -> None:
        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException

        tags, store = self.run.data.tags, self.store
        done = int(tags.get(SHIPPED, 0))
        try:
            for metrics, upto in batches(points, done, size=store.batch):
                store.client.log_batch(self.run.info.run_id, metrics=metrics, tags=[RunTag(SHIPPED, str(upto))])
                done = upto
        except MlflowException:
            if len(metrics) <= CAREFUL_BATCH:
                raise
            store.batch = CAREFUL_BATCH
            tags[SHIPPED] = str(done)
            self._points(points)

    def _result(self, result: Mapping[str, Any], points: Mapping[int, Mapping[str, Any]]) -> None:
        from mlflow.entities import RunTag

        metrics, words = of_result(result, points)
        tags = [RunTag(name, value) for name, value in words.items()]
        self.store.client.log_batch(self.run.info.run_id, metrics=metrics, tags=tags)

    def _files(self, target: Target, result: Mapping[str, Any]) -> list[bool]:
        """Ship the files of a run that is done; return of each whether it is settled."""
        folder, figures = self.folder, list[Path]()
        settled = [self.parts.ship_file(target, folder.path / name) for name in ("spec.json", "result.json")]
        if (draw := self.draw) is not None:

            def drawn() -> None:
                figures.extend(draw(folder, folder.path / "figures"))

            settled.append(self.parts.ship(target, "figures", _digest(result), drawn))
        settled += [self.parts.ship_file(target, figure, "figures") for figure in figures]
        if result["outcome"] == "completed":
            settled.append(self.parts.ship(target, "model", result["weights_sha256"], lambda: self._model(target)))
        return settled

    def _model(self, target: Target) -> None:
        from difair_hpc.runs.model import save_for_mlflow

        with save_for_mlflow(self.folder) as saved:
            log_folder(self.store.client, target.run_id, saved, "model", served=self.store.served)


def _digest(result: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(result))
