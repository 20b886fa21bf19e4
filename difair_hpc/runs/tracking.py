"""MLflow as a projection of run folders: study → stage → run, shipped from the spools, never doubled, never ahead.

A point carries the moment at which it was made, and MLflow drops a point that it has already; a tag on the MLflow run
says up to which epoch it has all. So shipping can be repeated from anywhere, at any time, by anyone, by two at once.
"""

import functools
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.errors import DifairError, Failure, Unreadable
from difair_hpc.files import read_json
from difair_hpc.runs.answers import cannot_be_used
from difair_hpc.runs.attempts import views
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.parts import Parts, Target
from difair_hpc.runs.reap import end_of, status_of
from difair_hpc.runs.refused import Key, Refusals, grouped
from difair_hpc.runs.server import distrusted, server_of
from difair_hpc.runs.shipment import Drawer, Shipment
from difair_hpc.runs.shown import NOTE, NOTE_LIMIT, REPORT, VIEW, address
from difair_hpc.runs.spec import flat
from difair_hpc.runs.sqlite import own_store, sqlite_uri
from difair_hpc.runs.store import FINAL, PARENT, Gone, Store, client_of, explained, is_active, settle
from difair_hpc.runs.suspects import diagnosis
from difair_hpc.words import is_name, visible

if TYPE_CHECKING:
    from mlflow.entities import Run

PRUNED = "difair.pruned"


def default_uri(root: Path) -> str:
    """Return the address of the team's server that an output root names, else of this user's store for it."""
    if said := distrusted(root):
        _warn(said)
    return server_of(root) or sqlite_uri(own_store(root))


@functools.cache
def _warn(text: str) -> None:
    """Say something once."""
    sys.stderr.write(visible(f"warning: {text}\n"))


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
        self,
        uri: str,
        *,
        root: Path,
        study: str,
        draw: Drawer | None = None,
        live_only: bool = False,
        retry: bool = False,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Keep what shipping needs.

        Args:
            uri: Of the store; the default one is made where it is absent.
            root: Output root.
            study: Its name.
            draw: Draws the figures of a run that is done.
            live_only: Leave files, figures and model, which take seconds, to another process, and ask the store about
                none but the runs that are shipped.
            retry: Send again what the store has refused.
            tell: Told once of each thing that is missing in MLflow while the store is in order.
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
        self._refusals = Refusals(root, uri, study)
        self._parts = Parts(self._refusals)
        self._retried: set[Key] | None = None if retry else set()
        """What is shipped again although it is final; None: nobody has looked yet."""
        self._tell = tell
        self._unreadable: dict[str, str] = {}
        self._said: set[str] = set()

    @property
    def problems(self) -> list[str]:
        """What is missing in MLflow while the store is in order, and why, one sentence each."""
        refused = [*self._refusals]
        known = {(one.stage, one.signature, one.item) for one in refused}
        waiting = [text for (key, item), text in self._parts.problems.items() if (*key[1:], item) not in known]
        return [*self._unreadable.values(), *waiting, *grouped(refused)]

    @property
    def incomplete(self) -> set[str]:
        """Signatures of the runs of which something is missing."""
        refused = {one.signature for one in self._refusals if one.signature}
        return refused | {*self._unreadable, *(key[2] for key, _ in self._parts.problems if key[2])}

    def _found(self) -> list[str]:
        return [*self._unreadable.values(), *self._parts.problems.values()]

    def is_empty(self) -> bool:
        """Whether the store has no run of this study and output root; the experiment is made."""
        with self._store() as store:
            return not (self._final or any(is_active(run) for run in store.runs.values()))

    def ship(self, folder: RunFolder, *, stage: str, label: str, pruned: str | None = None) -> None:
        """Bring the MLflow run of a run folder up to date.

        Args:
            folder: The run folder; one that was never started is left out.
            stage: Name of the stage, the parent of the run.
            label: Name of the run in the UI: what differs from its neighbours.
            pruned: Why its stage stopped it at a rung; empty: it did not; None: leave that as it is.

        Raises:
            Failure: the store cannot be used; the next call begins anew. Whatever else is wrong is one of `problems`.
        """
        try:
            self._ship(folder, stage, label, pruned)
            self._unreadable.pop(folder.signature, None)
        except Failure as error:
            if not isinstance(error, Unreadable):
                raise
            self._unreadable[folder.signature] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one run, it holds up no other
            what = str(error) if isinstance(error, DifairError) else f"{type(error).__name__}: {error}"
            self._unreadable[folder.signature] = what
        for line in self._found():
            if line not in self._said:
                self._said.add(line)
                self._tell(line)

    def _ship(self, folder: RunFolder, stage: str, label: str, pruned: str | None) -> None:
        key = ("run", stage, folder.signature)
        if key in self._final or (state := folder.state()).status == "new":
            return
        points, status, end = folder.points(), status_of(state), end_of(state)
        if self._told.get(key) == (news := (len(points), status, end, pruned)):
            return
        with self._store() as store:
            run = self._run(store, key, folder, label)
            if pruned is not None and pruned != run.data.tags.get(PRUNED, ""):
                store.client.set_tag(run.info.run_id, PRUNED, pruned)
                run.data.tags[PRUNED] = pruned
            whole = True
            if FINAL not in run.data.tags or key in (self._retried or ()):
                draw, files = self._draw, not self._live_only
                whole = Shipment(store, key, run, folder, self._parts, draw=draw, files=files).ship(state, points)
        if whole:
            self._told[key] = news
        if whole and state.result is not None:
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
        key = ("study", "", "")
        with self._store() as store:
            study = store.run(key, {"mlflow.runName": self._study})
            if study.data.tags.get(FINAL) == str(report["time"]) and key not in (self._retried or ()):
                return
            target = Target(store, key, run_id := study.info.run_id)
            files = [folder / "report" / name for name in report["files"] if is_name(name)]
            settled = [self._parts.ship_file(target, path, "report") for path in files]
            if note := report["note"][:NOTE_LIMIT]:
                store.client.set_experiment_tag(store.experiment, NOTE, note)
                store.client.set_tag(run_id, NOTE, note)
            for run in store.parents():
                settle(store.client, run, "FINISHED")
                if all(settled):
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
            for run in store.parents():
                ended = "FINISHED" if FINAL in run.data.tags else "KILLED"
                settle(store.client, run, "RUNNING" if live else ended)
        self._live = live

    @contextmanager
    def _store(self) -> Iterator[Store]:
        """Give the store for a block; after a failure nothing that was known of it counts."""
        try:
            store = self._ready()
            with explained(self.uri):
                yield store
        except Gone as error:
            self._forget()
            raise Failure(
                f"what was shipped of {self._study} was deleted in MLflow's pages; it is restored."
            ) from error
        except Failure:
            self._forget()
            raise

    def _ready(self) -> Store:
        try:
            with explained(self.uri):
                return self._open or self._opened()
        except DifairError:
            raise
        except Exception as error:  # such as a variable that MLflow cannot read
            why = str(diagnosis(error))
            said = f"{type(error).__name__}: {error}{f'; {why}' if why else ''}."
            raise Failure(cannot_be_used(self.uri, said)) from error

    def _opened(self) -> Store:
        self._open = store = Store(self.uri, root=self.root, study=self._study)
        if not self._live_only:
            store.learn()
        if self._retried is None:
            self._retried = self._refusals.forget()
        stages = {run.info.run_id for key, run in store.runs.items() if key[0] == "stage" and is_active(run)}
        final = {key for key, run in store.runs.items() if _is_final(key, run, stages)}
        self._final = final - self._retried
        for key in self._final:
            del store.runs[key]
        return store

    def _forget(self) -> None:
        self._open = self._live = None
        self._told.clear()
        self._final.clear()

    def _run(self, store: Store, key: Key, folder: RunFolder, label: str) -> "Run":
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        spec, parent = folder.spec(), store.parent(key[1])
        tags = {
            "mlflow.runName": label,
            PARENT: parent,
            "method": spec.method.name,
            "benchmark": spec.benchmark.name,
            "split": str(spec.benchmark.split),
            "seed": str(spec.seed),
        }
        begun = [attempt.record.get("started") for attempt in views(folder.path)[:1]]
        run = store.run(key, tags, start=next(iter(begun), None))
        if run.data.tags.get(PARENT) != parent:
            store.client.set_tag(run.info.run_id, PARENT, parent)
        if not run.data.params:
            params = [Param(name, str(value)) for name, value in flat(spec.to_dict()).items()]
            try:
                store.client.log_batch(run.info.run_id, params=params)
            except MlflowException:  # another process that ships the run may have been first
                if not store.client.get_run(run.info.run_id).data.params:
                    raise
        return run


def _is_final(key: Key, run: "Run", stages: Container[str]) -> bool:
    """Whether nothing of a run is left to be shipped, and nobody has deleted it or its stage."""
    return key[0] == "run" and FINAL in run.data.tags and is_active(run) and run.data.tags.get(PARENT) in stages
