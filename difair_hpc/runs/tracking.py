"""MLflow as a projection of run folders: study → stage → run, shipped from the spools, never doubled, never ahead.

A point carries the moment at which it was made, and MLflow drops a point that it has already; a tag on the MLflow run
says up to which epoch it has all. So shipping can be repeated from anywhere, at any time, by anyone, by two at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.errors import Failure
from difair_hpc.files import read_json
from difair_hpc.runs.attempts import views
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.points import BATCH, CAREFUL_BATCH, batches, of_result
from difair_hpc.runs.reap import end_of, status_of
from difair_hpc.runs.server import server_of
from difair_hpc.runs.shown import NOTE, NOTE_LIMIT, REPORT, VIEW, address
from difair_hpc.runs.spec import flat
from difair_hpc.runs.sqlite import sqlite_uri
from difair_hpc.runs.store import FINAL, Key, Store, client_of, explained, settle

if TYPE_CHECKING:
    from mlflow.entities import Run

SHIPPED = "difair.shipped_epoch"
"""Tag that says up to which epoch MLflow has every point; it may be behind, and is never ahead."""
PRUNED = "difair.pruned"

Drawer = Callable[[RunFolder, Path], Iterable[Path]]
"""Draws a run's figures into a folder and returns their paths."""


def default_uri(root: Path) -> str:
    """Return the address of the team's server that an output root names, else of the store under it."""
    return server_of(root) or sqlite_uri(root.absolute() / "mlflow.db")


_REPORT = {"time": float, "files": [str], "note": str}
"""What `shown.keep_report` writes."""


def pages(uri: str) -> dict[str, str]:
    """Return where MLflow's pages show the runs of each study: its name, the address below the server's."""
    with explained(uri):
        found = client_of(uri).search_experiments()
        return {one.name: address(one.experiment_id) for one in found if VIEW in one.tags}


class Tracker:
    """Ships run folders of one study into the MLflow experiment of the same name; nothing is asked before the first."""

    def __init__(
        self, uri: str, *, root: Path, study: str, draw: Drawer | None = None, live_only: bool = False
    ) -> None:
        """Keep what shipping needs.

        Args:
            uri: Of the store; the default one is made where it is absent.
            root: Output root.
            study: Its name.
            draw: Draws the figures of a run that is done.
            live_only: Leave files, figures and model, which take seconds, to another process, and ask the store about
                none but the runs that are shipped.
        """
        self.uri = uri
        self.root = root
        self._study = study
        self._draw = draw
        self._live_only = live_only
        self._open: Store | None = None
        self._told: dict[Key, tuple[int, str, float | None, str | None]] = {}
        self._final: set[Key] = set()
        self._live: bool | None = None
        self._batch = BATCH

    def is_empty(self) -> bool:
        """Whether the store has no run of this study and output root; the experiment is made."""
        with self._store() as store:
            return not (store.runs or self._final)

    def ship(self, folder: RunFolder, *, stage: str, label: str, pruned: str | None = None) -> None:
        """Bring the MLflow run of a run folder up to date.

        Args:
            folder: The run folder; one that was never started is left out.
            stage: Name of the stage, the parent of the run.
            label: Name of the run in the UI: what differs from its neighbours.
            pruned: Why its stage stopped it at a rung; empty: it did not; None: leave that as it is.

        Raises:
            Failure: the store cannot be used; the next call begins anew.
        """
        key = ("run", stage, folder.signature)
        if key in self._final or (state := folder.state()).status == "new":
            return
        points, status, end = folder.points(), status_of(state), end_of(state)
        if self._told.get(key) == (news := (len(points), status, end, pruned)):
            return
        with self._store() as store:
            from mlflow.entities import RunTag

            run = self._run(store, key, folder, label)
            if pruned is not None and pruned != run.data.tags.get(PRUNED, ""):
                store.client.set_tag(run.info.run_id, PRUNED, pruned)
                run.data.tags[PRUNED] = pruned
            if FINAL not in run.data.tags:
                self._ship_points(store, run, points)
                if state.result is not None:
                    metrics, words = of_result(state.result, points)
                    tags = [RunTag(name, value) for name, value in words.items()]
                    store.client.log_batch(run.info.run_id, metrics=metrics, tags=tags)
                settle(store.client, run, status, end)
                if state.result is not None and not self._live_only:
                    self._ship_files(store, run, folder, state.result)
        self._told[key] = news
        if state.result is not None:
            self._final.add(key)
            for known in (self._told, store.runs):  # a study may have thousands, and this one is never asked for again
                known.pop(key, None)

    def finish_study(self) -> None:
        """Log the newest report, if there is one, to the study's run, and call the study and its stages finished.

        Raises:
            Failure: the store cannot be used.
        """
        folder = self.root / "studies" / self._study
        report = read_json(folder / REPORT, _REPORT) or {"time": "no report", "files": [], "note": ""}
        with self._store() as store:
            study = store.client.get_run(store.parent())
            if study.data.tags.get(FINAL) == str(report["time"]):
                return
            for name in report["files"]:
                store.client.log_artifact(study.info.run_id, str(folder / "report" / name), "report")
            if note := report["note"][:NOTE_LIMIT]:
                store.client.set_experiment_tag(store.experiment, NOTE, note)
                store.client.set_tag(study.info.run_id, NOTE, note)
            for run in _parents(store):
                settle(store.client, run, "FINISHED")
                store.client.set_tag(run.info.run_id, FINAL, str(report["time"]))

    def settle(self, *, live: bool) -> None:
        """Say of the study and its stages that they are at work (`live`), or are so no more.

        Raises:
            Failure: the store cannot be used.
        """
        if live is self._live:
            return
        with self._store() as store:
            store.parent()
            for run in _parents(store):
                ended = "FINISHED" if FINAL in run.data.tags else "KILLED"
                settle(store.client, run, "RUNNING" if live else ended)
        self._live = live

    @contextmanager
    def _store(self) -> Iterator[Store]:
        """Give the store for a block; after a failure nothing that was known of it counts."""
        try:
            with explained(self.uri):
                if self._open is None:
                    self._open = Store(self.uri, root=self.root, study=self._study)
                    if not self._live_only:
                        self._open.learn()
                    self._final = {key for key, run in self._open.runs.items() if _is_final(key, run)}
                    for key in self._final:
                        del self._open.runs[key]
                yield self._open
        except Failure:
            self._open = self._live = None
            self._told.clear()
            self._final.clear()
            raise

    def _run(self, store: Store, key: Key, folder: RunFolder, label: str) -> "Run":
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        spec, parent = folder.spec(), store.parent(key[1])
        tags = {
            "mlflow.runName": label,
            "mlflow.parentRunId": parent,
            "method": spec.method.name,
            "benchmark": spec.benchmark.name,
            "split": str(spec.benchmark.split),
            "seed": str(spec.seed),
        }
        begun = [attempt.record.get("started") for attempt in views(folder.path)[:1]]
        run = store.run(key, tags, start=next(iter(begun), None))
        if run.data.tags.get("mlflow.parentRunId") != parent:
            store.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
        if not run.data.params:
            params = [Param(name, str(value)) for name, value in flat(spec.to_dict()).items()]
            try:
                store.client.log_batch(run.info.run_id, params=params)
            except MlflowException:  # another process that ships the run may have been first
                if not store.client.get_run(run.info.run_id).data.params:
                    raise
        return run

    def _ship_points(self, store: Store, run: "Run", points: Mapping[int, Mapping[str, Any]]) -> None:
        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException

        done = int(run.data.tags.get(SHIPPED, 0))
        try:
            for metrics, upto in batches(points, done, size=self._batch):
                store.client.log_batch(run.info.run_id, metrics=metrics, tags=[RunTag(SHIPPED, str(upto))])
                done = upto
        except MlflowException:
            if len(metrics) <= CAREFUL_BATCH:
                raise
            self._batch = CAREFUL_BATCH
            run.data.tags[SHIPPED] = str(done)
            self._ship_points(store, run, points)

    def _ship_files(self, store: Store, run: "Run", folder: RunFolder, result: Mapping[str, Any]) -> None:
        run_id, client = run.info.run_id, store.client
        for path in ("spec.json", "result.json"):
            client.log_artifact(run_id, str(folder.path / path))
        if self._draw is not None:
            for figure in self._draw(folder, folder.path / "figures"):
                client.log_artifact(run_id, str(figure), "figures")
        if result["outcome"] == "completed":
            from difair_hpc.runs.model import save_for_mlflow

            with save_for_mlflow(folder) as saved:
                client.log_artifacts(run_id, str(saved), "model")
        client.set_tag(run_id, FINAL, "true")


def _is_final(key: Key, run: "Run") -> bool:
    return key[0] == "run" and FINAL in run.data.tags


def _parents(store: Store) -> "list[Run]":
    """Return the runs of the study and its stages as they are now."""
    return [store.client.get_run(run.info.run_id) for key, run in store.runs.items() if key[0] != "run"]
