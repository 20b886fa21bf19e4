"""MLflow as a projection of run folders: study → stage → run, shipped from the spools, never doubled, never ahead.

A point carries the moment at which it was made, and MLflow drops a point that it has already; a tag on the MLflow run
remembers how far it was shipped. So shipping can be repeated from anywhere, at any time, by anyone.
"""

import fcntl
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.errors import Failure
from difair_hpc.files import usable_folder
from difair_hpc.runs.folder import RunFolder, RunState
from difair_hpc.runs.spec import flat

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

SHIPPED = "difair.shipped_epoch"
FINAL = "difair.final"
BATCH = 1000
"""Most metrics that MLflow takes in one call."""

_ENDED = {"done": "FINISHED", "failed": "FAILED", "dead": "FAILED", "stopped": "KILLED"}
"""MLflow's status by the state of the run folder; what is absent is not ended."""

Drawer = Callable[[RunFolder, Path], Iterable[Path]]
"""Draws a run's figures into a folder and returns their paths."""


def default_uri(root: Path) -> str:
    """Return the address of the MLflow store under an output root."""
    return f"sqlite:///{root.absolute() / 'mlflow.db'}"


class Tracker:
    """Ships run folders of one study into one MLflow experiment of the same name."""

    def __init__(self, uri: str, *, root: Path, study: str, draw: Drawer | None = None) -> None:
        """Open the store, and make it if it is the default one and absent (one process at a time).

        Raises:
            Failure: the store cannot be reached; names the address.
        """
        self._draw = draw
        self._uri = uri
        self._lock = root / ".mlflow.lock"
        self._parents: dict[str, str] = {}
        self._runs: dict[str, Run] = {}
        self._final: set[str] = set()
        self.study_finished = False
        """Whether `finish_study` was called."""
        usable_folder(root, key="root")
        with _one_at_a_time(self._lock), _explained(uri):
            self._client = _client(uri)
            self._experiment = self._experiment_id(study, root)
            self._parents[""] = self._parent(study, kind="study", above=None)
            self._remember()

    @property
    def study_run(self) -> str:
        """Id of the MLflow run that stands for the study."""
        return self._parents[""]

    def ship(self, folder: RunFolder, *, stage: str, label: str) -> None:
        """Bring the MLflow run of a run folder up to date.

        Args:
            folder: The run folder; one that was never started is left out.
            stage: Name of the stage, the parent of the run.
            label: Name of the run in the UI: what differs from its neighbours.

        Raises:
            Failure: the store cannot be reached any more.
        """
        key = f"{stage}/{folder.signature}"
        if key in self._final or (state := folder.state()).status == "new":
            return
        with _explained(self._uri):
            run = self._runs.get(key) or self._run(folder, state, stage, label)
            self._runs[key] = run
            self._ship_points(run, folder)
            self._ship_status(run, state)
            if state.status == "done" and FINAL not in run.data.tags:
                self._ship_result(run, folder, state)
        if state.status == "done":
            self._final.add(key)

    def finish_study(self, files: Iterable[Path]) -> None:
        """Log the report's files to the study's run and close the study and its stages."""
        with _explained(self._uri):
            for path in files:
                self._client.log_artifact(self.study_run, str(path), "report")
            for run_id in self._parents.values():
                self._client.set_tag(run_id, FINAL, "true")
                self._client.set_terminated(run_id, "FINISHED")
        self.study_finished = True

    def close_parents(self, *, live: bool) -> None:
        """Mark the study and its stages as stopped, unless a command drives the study at this moment (`live`)."""
        with _explained(self._uri):
            for run_id in () if live else self._parents.values():
                finished = self._client.get_run(run_id).data.tags.get(FINAL)
                self._client.set_terminated(run_id, "FINISHED" if finished else "KILLED")

    def _remember(self) -> None:
        """Learn in one question which runs the store has: a tick in a new process would else ask for each."""
        token: str | None = None
        while token != "":
            page = self._client.search_runs(
                [self._experiment], "tags.`difair.kind` = 'run'", max_results=1000, page_token=token
            )
            for run in page:
                key = f"{run.data.tags['difair.stage']}/{run.data.tags['difair.signature']}"
                self._runs[key] = run
                self._final |= {key} if FINAL in run.data.tags else set()
            token = page.token or ""

    def _experiment_id(self, study: str, root: Path) -> str:
        found = self._client.get_experiment_by_name(study)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        local = self._client.tracking_uri.startswith("sqlite:")
        location = (root.absolute() / "mlartifacts" / study).as_uri() if local else None
        return str(self._client.create_experiment(study, artifact_location=location))

    def _parent(self, name: str, *, kind: str, above: str | None) -> str:
        found = self._find(f"tags.`difair.kind` = '{kind}' and tags.`mlflow.runName` = '{name}'")
        if found is None:
            tags = {"difair.kind": kind, "mlflow.runName": name}
            if above is not None:
                tags["mlflow.parentRunId"] = above
            found = self._client.create_run(self._experiment, tags=tags)
        else:
            self._client.update_run(found.info.run_id, status="RUNNING")
        return str(found.info.run_id)

    def _run(self, folder: RunFolder, state: RunState, stage: str, label: str) -> "Run":
        # A job and the reconciler may both ship a run for the first time: one of them makes it.
        with _one_at_a_time(self._lock):
            return self._found_or_made(folder, state, stage, label)

    def _found_or_made(self, folder: RunFolder, state: RunState, stage: str, label: str) -> "Run":
        if stage not in self._parents:
            self._parents[stage] = self._parent(stage, kind="stage", above=self.study_run)
        found = self._find(f"tags.`difair.signature` = '{folder.signature}' and tags.`difair.stage` = '{stage}'")
        if found is not None:
            return found
        tags = {
            "mlflow.runName": label,
            "mlflow.parentRunId": self._parents[stage],
            "difair.kind": "run",
            "difair.stage": stage,
            "difair.signature": folder.signature,
        }
        run = self._client.create_run(
            self._experiment, start_time=int((state.started or time.time()) * 1000), tags=tags
        )
        self._log_params(run.info.run_id, flat(folder.spec().to_dict()))
        return run

    def _find(self, condition: str) -> "Run | None":
        found = self._client.search_runs([self._experiment], condition, max_results=1)
        return found[0] if found else None

    def _log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(run_id, params=[Param(key, str(value)) for key, value in values.items()])

    def _ship_points(self, run: "Run", folder: RunFolder) -> None:
        from mlflow.entities import Metric, RunTag

        done = int(run.data.tags.get(SHIPPED, 0))
        metrics: list[Metric] = []
        points = {epoch: point for epoch, point in folder.points().items() if epoch > done}
        for epoch, point in points.items():
            moment = int(point["time"] * 1000)
            new = [Metric(_allowed(name), value, moment, epoch) for name, value in point["metrics"].items()]
            if len(metrics) + len(new) > BATCH:
                self._client.log_batch(run.info.run_id, metrics=metrics)
                metrics = []
            metrics += new
        if points:
            last = str(max(points))
            self._client.log_batch(run.info.run_id, metrics=metrics, tags=[RunTag(SHIPPED, last)])
            run.data.tags[SHIPPED] = last

    def _ship_status(self, run: "Run", state: RunState) -> None:
        status = _ENDED.get(state.status, "RUNNING")
        if status == run.info.status:
            return
        if status == "RUNNING":
            self._client.update_run(run.info.run_id, status=status)
        elif status != "FINISHED":
            self._client.set_terminated(run.info.run_id, status)
        run.info._status = status

    def _ship_result(self, run: "Run", folder: RunFolder, state: RunState) -> None:
        assert state.result is not None, "a run that is done has a result"
        run_id, result = run.info.run_id, state.result
        tags = {f"hardware.{key}": value for key, value in result["hardware"].items()}
        tags |= {f"version.{key}": value for key, value in result["versions"].items()}
        tags |= {"difair.outcome": result["outcome"], "difair.attempts": result["attempts"]}
        if result["versions"]["commit"] != "none":
            tags["mlflow.source.git.commit"] = result["versions"]["commit"]
        moment = int(result["finished"] * 1000)
        for name, value in _final_metrics(result).items():
            self._client.log_metric(run_id, f"final.{name}", value, timestamp=moment, step=result["epochs"])
        for path in ("spec.json", "result.json"):
            self._client.log_artifact(run_id, str(folder.path / path))
        if self._draw is not None:
            for figure in self._draw(folder, folder.path / "figures"):
                self._client.log_artifact(run_id, str(figure), "figures")
        if result["outcome"] == "completed":
            from difair_hpc.runs.model import save_for_mlflow

            with save_for_mlflow(folder) as saved:
                self._client.log_artifacts(run_id, str(saved), "model")
        for key, value in tags.items():
            self._client.set_tag(run_id, key, str(value))
        self._client.set_terminated(run_id, "FINISHED", end_time=moment)
        self._client.set_tag(run_id, FINAL, "true")


def _allowed(name: str) -> str:
    """Return a metric's name without what MLflow refuses in it, such as the apostrophe in "potter's wheel"."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _final_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    evaluation = result["evaluation"] or {}
    return {
        name: float(value)
        for name, value in flat(evaluation).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    } | {"seconds": float(result["seconds"])}


def _client(uri: str) -> "MlflowClient":
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Failure(f"the MLflow store {uri} cannot be used: {reason}. Choose another with tracking_uri=…") from error


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock of the operating system: several processes that make one SQLite store at once destroy it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
