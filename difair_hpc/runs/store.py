"""MLflow's side of a study: an experiment that holds one run for the study, for each stage and for each run.

A request that timed out may have been carried out, and two processes may show a run for the first time at once. So
after a run was made, all that stand for the same thing are read: the first by id stays, the others are deleted.
"""

import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.errors import Failure
from difair_hpc.files import read_text, write_once
from difair_hpc.folders import own_place, usable_folder
from difair_hpc.runs.answers import bound_waits, cannot_be_used, require_mlflow, wrong
from difair_hpc.runs.moved import adopt, artifact_place
from difair_hpc.runs.points import BATCH
from difair_hpc.runs.refused import Key
from difair_hpc.runs.server import check_credentials
from difair_hpc.runs.shown import first_tags
from difair_hpc.runs.sqlite import is_sqlite, make_store, own_store, sqlite_path
from difair_hpc.runs.turns import one_at_a_time

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

FINAL = "difair.final"
"""Tag of a run of which MLflow has everything, and of a study whose report it has."""
KIND, STAGE, SIGNATURE = "difair.kind", "difair.stage", "difair.signature"
PARENT = "mlflow.parentRunId"
ROOT = "difair.root"
"""Tag for the output root: several may ship to one server, with studies of one name and the same runs in them."""

_ROOT_NAME = re.compile(r"[\w-]{1,64}")
_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}
"""Words of MLflow's store of a database by which it refuses what it is given."""

_SETTINGS = {
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow's own, where the user has none: it would wait 120 s and repeat seven times, which takes minutes, while what
fails here is repeated later anyway; and it would report to its makers, for whom a node without network waits as well.
Where it follows a redirection it sends GET in place of POST, and takes a login page for an answer.
"""


class Gone(Exception):
    """Somebody has deleted in MLflow's pages what is being shipped to; it is restored when the store is opened next."""


class Store:
    """The experiment of one study, and the MLflow runs in it that belong to one output root."""

    def __init__(self, uri: str, *, root: Path, study: str) -> None:
        """Open the store, and make the experiment if it is absent (one process at a time where it is a file)."""
        self.runs: dict[Key, Run] = {}
        """What has been read so far, and not dropped by whoever needs it no more."""
        self.batch = BATCH
        """Most metrics of one request."""
        self._study = study
        self.served = is_server(uri)
        """Whether it is a server."""
        self._lock = _lock_of(uri, root) if is_sqlite(uri) else None
        self._root = root_name(root)
        with one_at_a_time(self._lock):
            make_store(uri, root)
            adopt(root, uri)
            self.client = client_of(uri)
            if is_server(uri):
                require_mlflow(self.client, uri, study)
            self.experiment = self._opened(root)

    def learn(self, condition: str = "") -> None:
        """Read the runs of the experiment that fit a condition in MLflow's words; of two for one thing, keep one.

        One that somebody deleted in MLflow's pages is kept where there is no other: it has what was shipped so far.
        """
        from mlflow.entities import ViewType

        found: dict[Key, dict[str, Run]] = {}
        token: str | None = None
        while token != "":
            page = self.client.search_runs(
                [self.experiment], condition, run_view_type=ViewType.ALL, max_results=1000, page_token=token
            )
            for run in page:
                tags = run.data.tags
                if KIND in tags and tags.get(ROOT, self._root) == self._root:
                    found.setdefault(_key(tags), {})[run.info.run_id] = run
            token = page.token or ""
        for key, alike in found.items():
            first, *others = sorted(filter(lambda run_id: is_active(alike[run_id]), alike)) or [min(alike)]
            self.runs[key] = alike[first]
            for run_id in others:
                self.client.delete_run(run_id)
            if is_active(alike[first]) and ROOT not in alike[first].data.tags:  # an earlier version made it
                self.client.set_tag(first, ROOT, self._root)

    def run(self, key: Key, tags: Mapping[str, str], *, start: float | None = None) -> "Run":
        """Return the MLflow run for something, as it is now; it is made where it is absent.

        Args:
            key: What it stands for.
            tags: Of a new one, beside those that say what it stands for.
            start: Of a new one, seconds since 1970; None: now.
        """
        if key in self.runs and (known := self._again(key)) is not None:
            return known
        kind, stage, signature = key
        condition = _condition(key)
        with one_at_a_time(self._lock):
            self.learn(condition)
            if key not in self.runs:
                own = {KIND: kind, STAGE: stage, SIGNATURE: signature, ROOT: self._root}
                whole = {**tags, **{name: value for name, value in own.items() if value}}
                self.client.create_run(self.experiment, start_time=int((start or time.time()) * 1000), tags=whole)
                self.learn(condition)
            self._restore(key)
        return self.runs[key]

    def parent(self, stage: str = "") -> str:
        """Return the id of the MLflow run of a stage, or of the study."""
        key = ("stage", stage, "") if stage else ("study", "", "")
        above = {PARENT: self.parent()} if stage else {}
        if key not in self.runs or not is_active(self.runs[key]):
            self.run(key, {"mlflow.runName": stage or self._study, **above})
        run = self.runs[key]
        if stage and run.data.tags.get(PARENT) != above[PARENT]:  # the study was removed for ever, and made anew
            self.client.set_tag(run.info.run_id, PARENT, above[PARENT])
            run.data.tags[PARENT] = above[PARENT]
        return str(run.info.run_id)

    def parents(self) -> "list[Run]":
        """Return the runs of the study and its stages as they are now."""
        known = [self._again(key) for key in [*self.runs] if key[0] != "run"]
        return [run for run in known if run is not None]

    def require_active(self, run_id: str, error: Exception) -> None:
        """Find out whether a request failed although the store is there and has the run.

        Raises:
            Gone: Somebody has deleted the run meanwhile.
            MlflowException, RequestException, SQLAlchemyError: The store is out of order; `error`, where that is clear.
        """
        from mlflow.exceptions import MlflowException

        refused = isinstance(error, MlflowException) and error.error_code in _REFUSALS
        if self._lock is not None and not refused:
            raise error  # no proxy stands before a file: the database itself has failed
        try:
            run = self.client.get_run(run_id)
        except MlflowException as found:
            if found.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise Gone from found
            raise
        if not is_active(run):
            raise Gone from error

    def _again(self, key: Key) -> "Run | None":
        """Return a known run as it is now, restored if it was deleted; None: it was removed for ever."""
        from mlflow.exceptions import MlflowException

        run_id = self.runs[key].info.run_id
        try:
            self.runs[key] = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            del self.runs[key]
            return None
        if not is_active(self.runs[key]):
            self.learn(_condition(key))  # another process may have kept another one
            self._restore(key)
        return self.runs[key]

    def _restore(self, key: Key) -> None:
        """Take back that somebody deleted a run in MLflow's pages."""
        run = self.runs[key]
        if not is_active(run):
            self.client.restore_run(run.info.run_id)
            self.runs[key] = self.client.get_run(run.info.run_id)

    def _opened(self, root: Path) -> str:
        from mlflow.exceptions import MlflowException

        tags = first_tags(self._study, root)
        found = self.client.get_experiment_by_name(self._study)
        if found is None:
            place = artifact_place(root, self._study) if self._lock is not None else None
            try:
                return str(self.client.create_experiment(self._study, artifact_location=place, tags=tags))
            except MlflowException:
                found = self.client.get_experiment_by_name(self._study)  # another process was faster
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":  # in MLflow's pages; its runs come back with it
            self.client.restore_experiment(found.experiment_id)
        for key in tags.keys() - found.tags.keys():
            self.client.set_experiment_tag(found.experiment_id, key, tags[key])
        return str(found.experiment_id)


def _lock_of(uri: str, root: Path) -> Path:
    """Return the lock of a store in a file: beside the default one, where nobody else can hold it, else in the root."""
    place = own_place(root) if sqlite_path(uri) == own_store(root) else root
    return usable_folder(place, key="root") / ".mlflow.lock"


def is_server(uri: str) -> bool:
    """Whether it is the address of a server, which any machine may ask, and not that of a file or database."""
    return uri.startswith(("http://", "https://"))


def client_of(uri: str) -> "MlflowClient":
    """Return MLflow's client; to be called where its failures are `explained`.

    Raises:
        UserError: its passwords stand in a file that others can read.
    """
    check_credentials(uri)
    bound_waits()
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def root_name(root: Path) -> str:
    """Return the name of an output root in MLflow, which it keeps wherever it is moved."""
    path = root / "mlflow.root"
    write_once(path, uuid.uuid4().hex[:12])
    name = read_text(path)
    if not _ROOT_NAME.fullmatch(name):
        raise Failure(f"{path} is damaged: remove it, and this root gets another name in MLflow.")
    return name


def settle(client: "MlflowClient", run: "Run", status: str, end: float | None = None) -> None:
    """Give an MLflow run its status.

    Args:
        client: MLflow's.
        run: The run as it was last read.
        status: One of MLflow's; a run that is RUNNING again has no end.
        end: When it ended, seconds since 1970; None: now, unless it has the status already.
    """
    from mlflow.entities import RunStatus

    moment = 0 if status == "RUNNING" else int((end or time.time()) * 1000)
    if run.info.status == status and (end is None or moment == (run.info.end_time or 0)):
        return
    # The public call sets an end, but cannot take it back.
    store = client._tracking_client.store
    store.update_run_info(run.info.run_id, RunStatus.from_string(status), moment, None)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Say in one line that the store cannot be used.

    Raises:
        Failure: names the store and what happens now.
    """
    for name, value in _SETTINGS.items():  # it reads one of them when it is imported
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        raise Failure(cannot_be_used(uri, wrong(uri, error))) from error


def _condition(key: Key) -> str:
    """Return in MLflow's words what finds the runs that stand for something, and a few more."""
    kind, _, signature = key
    return f"tags.`{SIGNATURE}` = '{signature}'" if signature else f"tags.`{KIND}` = '{kind}'"


def is_active(run: "Run") -> bool:
    """Whether nobody has deleted a run, as it was last read."""
    return bool(run.info.lifecycle_stage == "active")


def _key(tags: Mapping[str, str]) -> Key:
    kind = tags[KIND]
    stage = "" if kind == "study" else tags.get(STAGE) or tags["mlflow.runName"]
    return kind, stage, tags.get(SIGNATURE, "")
