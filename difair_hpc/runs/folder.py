"""The folder of one run, `runs/<signature>/`: the truth about it, of which Optuna and MLflow are projections."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from difair_hpc.errors import DataDamaged, NewerSchema, UserError
from difair_hpc.files import fits, read_json, write_atomically, write_once
from difair_hpc.folders import exists, may_exist, names_in, usable_folder
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import views
from difair_hpc.runs.marks import Hold, is_lost, read_mark
from difair_hpc.runs.spec import SCHEMA, RunSpec, run_spec_from_file
from difair_hpc.words import is_name

_MEASURED = {"closed_set_accuracy?": (float, None), "occupancy?": (float, None), "auroc?": dict}
RESULT = {
    "outcome": re.compile("completed|diverged"),
    "spec": {"protocol": {"epochs": int}},
    "evaluation": (_MEASURED, None),
    "epochs": int,
    "attempts": int,
    "seconds?": float,
    "finished?": float,
    "place?": {"job?": str, "node?": str},
    "hardware?": {"threads?": int},
    "warnings?": [str],
}
"""Form of result.json."""

SPEC = {"schema": int, "spec": dict}
"""Form of spec.json."""

Status = Literal["new", "running", "stopped", "failed", "dead", "done", "unreadable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Where a run stands, as its folder tells."""

    signature: str
    status: Status
    """new: never started; stopped: on request; failed: an exception; dead: its process is gone; done: has a result;
    unreadable: its folder cannot be read, by whoever sees it (sweep/sight.py)."""
    epoch: int = 0
    """Finished epochs as last heard."""
    step: int = 0
    steps: int = 0
    """Finished steps of the current epoch, and steps per epoch."""
    accuracy: float | None = None
    """Closed-set accuracy as last evaluated."""
    attempts: int = 0
    message: str = ""
    """The error of a failed attempt, or which file of the run is damaged."""
    damage: str = ""
    """Which small file of the run is there and cannot be used, though it goes on without it."""
    kind: str = ""
    """Why the newest attempt ended, once the engine has looked at it: one of sweep/ends.py."""
    hold: Hold = ""
    """Whether a user holds the run back."""
    node: str = ""
    job: str = ""
    """Where the newest attempt runs or ran."""
    threads: int | None = None
    """CPU threads of the newest attempt; None: it is not on record."""
    seconds: float = 0.0
    """Time worked by all attempts."""
    started: float | None = None
    """Start of the newest attempt, seconds since 1970."""
    heard: float | None = None
    """Last heartbeat or last word, seconds since 1970."""
    result: Mapping[str, Any] | None = None
    """result.json of a run that is done."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Access to one run folder; nothing is written but by `create`, those who hold an attempt, and marks."""

    path: Path

    @property
    def signature(self) -> str:
        """Name of the folder."""
        return self.path.name

    def create(self, spec: RunSpec) -> None:
        """Make the folder with its spec.json, or check that the one that is there is the same run.

        Raises:
            RootUnusable, DiskFull: it cannot be written.
            NewerSchema: a newer version of this package wrote it.
            DataDamaged: its spec.json is that of another run.
        """
        usable_folder(self.path, key="root")
        content = {"schema": SCHEMA, "signature": self.signature, "spec": spec.to_dict()}
        made = write_once(self.path / "spec.json", json.dumps(content, indent=1))
        if not made and self.spec().signature != spec.signature:
            raise DataDamaged(f"{self.path / 'spec.json'} was edited: it is another run; move {self.path} away.")

    def spec(self) -> RunSpec:
        """Return the spec.

        Raises:
            UserError: there is no such run.
            NewerSchema, DataDamaged: it cannot be read by this version, or at all.
        """
        path = self.path / "spec.json"
        parts = read_json(path, SPEC)
        if parts is None and not exists(path):
            raise UserError(f"there is no run {self.signature} in {self.path.parent}; difair status lists the runs.")
        if parts is None:
            raise DataDamaged(f"{path} is damaged; move {self.path} away, and the run starts from its beginning.")
        return run_spec_from_file(parts, where=str(path))

    def result(self) -> Mapping[str, Any] | None:
        """Return result.json, or None if the run is not done: a damaged one is none, and the run writes it anew.

        Raises:
            NewerSchema: a newer version of this package wrote it.
        """
        result = read_json(self.path / "result.json", {"schema": int})
        if result is None:
            return None
        if result["schema"] > SCHEMA:
            raise NewerSchema(
                f"{self.path / 'result.json'} has schema {result['schema']}, this version reads up to {SCHEMA}; "
                "update difair-hpc. Nothing was changed."
            )
        return dict(result) if fits(result, RESULT) else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, which says that the run is done; one that is there stays, unless it is damaged.

        Raises:
            RootUnusable, DiskFull: it cannot be written.
        """
        path, text = self.path / "result.json", json.dumps(result, indent=1)
        if not write_once(path, text) and self.result() is None:
            write_atomically(path, text)

    def state(self) -> RunState:
        """Return where the run stands; reads a few small files and writes nothing."""
        result = self.result()
        if result is not None:
            return RunState(
                signature=self.signature,
                status="done",
                epoch=result["epochs"],
                accuracy=(result["evaluation"] or {}).get("closed_set_accuracy"),
                attempts=result["attempts"],
                threads=result.get("hardware", {}).get("threads"),
                seconds=float(result.get("seconds", 0.0)),
                job=result.get("place", {}).get("job", ""),
                node=result.get("place", {}).get("node", ""),
                result=result,
            )
        attempts, hold = views(self.path), read_mark(self.path).hold
        damage = f"{self.path / 'mark.json'} is damaged, and holds nothing back" if is_lost(self.path) else ""
        lost = f"{self.path / 'result.json'} is damaged" if exists(self.path / "result.json") else ""
        if not attempts:
            return RunState(signature=self.signature, status="new", hold=hold, message=lost, damage=damage)
        last = attempts[-1]
        position = last.end or last.beat
        return RunState(
            signature=self.signature,
            status=_status(last.end, alive=last.alive),
            epoch=int(position.get("epoch", 0)),
            step=int(position.get("step", 0)),
            steps=int(position.get("steps", 0)),
            accuracy=position.get("accuracy"),
            attempts=last.number,
            message=str((last.end or {}).get("message", "")) or lost,
            damage=damage,
            kind=last.kind,
            hold=hold,
            node=last.place.node,
            job=last.place.job,
            threads=last.threads,
            seconds=sum(attempt.seconds for attempt in attempts),
            started=last.record.get("started"),
            heard=position.get("time"),
        )

    def points(self) -> dict[int, dict[str, Any]]:
        """Return epoch to recorded point: epoch, time, metrics."""
        return spool.read(self.path)


def run_folder(root: Path, signature: str) -> RunFolder:
    """Return the folder of a run under the output root; it need not exist."""
    return RunFolder(root / "runs" / signature)


def run_names(root: Path) -> list[str]:
    """Return the names of the folders in which a run may be, whether or not they can be read."""
    return [name for name in names_in(root / "runs") if is_name(name) and may_exist(root / "runs" / name / "spec.json")]


def _status(end: Mapping[str, Any] | None, *, alive: bool) -> Status:
    if end is None:
        return "running" if alive else "dead"
    return {"stopped": "stopped", "failed": "failed"}.get(end["reason"], "dead")  # type: ignore[return-value]
