"""One attempt at a run while it trains: it restores, keeps the position, saves, and tells the spool what is safe.

A save holds the training thread for a copy of the state. The writer's thread makes the checkpoint durable, and only
then appends to the spool what it covers: the spool never shows what a crash could take back.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from difair_hpc.errors import UserError
from difair_hpc.runs import facts, spool
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.runs.stop import StopWatch
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import Point, Task, TrainState


class Superseded(Exception):
    """A later attempt has taken over; nothing more may be written."""


@dataclass(kw_only=True, slots=True)
class Session:
    """One attempt at work: the `Watch` of the trainer."""

    folder: RunFolder
    execution: ExecutionSpec
    attempt: Attempt
    task: Task
    state: TrainState
    watch: StopWatch
    on_epoch: Callable[[TrainState], None]
    writer: checkpoint.Writer
    recorded: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the spool held when the attempt began: what was recorded once stands."""
    warnings: list[str] = field(default_factory=list)
    saved: float = field(default_factory=time.monotonic)
    """When the last save was begun."""
    saved_at: tuple[int, int] | None = None
    """Epoch and step of the last save of this attempt."""

    @property
    def diverged(self) -> bool:
        """Whether the last loss is no number."""
        return bool(self.state.history) and not math.isfinite(self.state.history[-1].metrics["train_loss"])

    def restore(self) -> None:
        """Take over the newest valid checkpoint, if there is one, and complete the spool from it.

        Raises:
            UserError: the run was begun on other images.
        """
        self.recorded = spool.read(self.folder.path)
        self.warnings = list(self.task.data.warnings)
        loaded = checkpoint.load_newest(self.folder.path)
        if loaded is None:
            if lost := checkpoint.newest_first(self.folder.path):
                self.warnings.append(f"begun again: none of {', '.join(path.name for path in lost)} could be read")
            return
        kept = loaded.payload["data_fingerprint"]
        if kept != self.task.data.fingerprint:
            raise UserError(
                f"run {self.folder.signature} was begun on other images (fingerprint {kept[:12]}, now "
                f"{self.task.data.fingerprint[:12]}); give the data root it was begun with, or another root=FOLDER."
            )
        self.state.restore(loaded.payload)
        self.warnings = [*loaded.payload["notes"], *self.warnings, *loaded.skipped]
        self.progress(self.state)
        if (was := loaded.payload.get("precision", "float32")) != self.task.precision:
            self.warnings.append(f"resumed in {self.task.precision} after {was}: not the same as undisturbed")
        if loaded.payload["threads"] != torch.get_num_threads():
            was, now = loaded.payload["threads"], torch.get_num_threads()
            self.warnings.append(f"resumed with {now} CPU threads after {was}: equal only up to rounding from there on")
        self.warnings += _other_computing(
            loaded.payload.get("computing"), facts.computing(self.task.data.mean_C.device)
        )
        self.record(self.state.history)

    def should_stop(self) -> bool:
        """Pass on, after the pause, what the process around the run, its mark or its time limit asks for."""
        self.watch.pause(self.execution.pause_seconds)
        return bool(self.watch.asked())

    def progress(self, state: TrainState) -> None:
        """Note the position for the heartbeat."""
        accuracy = (state.evaluation or {}).get("closed_set_accuracy")
        self.attempt.at(epoch=state.epoch, step=state.step, steps=self.task.steps, accuracy=accuracy)

    def epoch_done(self, state: TrainState, point: Point) -> Point:
        """Save where a checkpoint is due; an epoch that is on record already keeps its moment."""
        before = self.recorded.get(point.epoch)
        if before is not None:
            if json.dumps(before["metrics"]) != json.dumps(point.metrics):  # as text, NaN equals NaN
                self.warnings.append(f"epoch {point.epoch} was trained again with other values than on record")
            point = Point(epoch=point.epoch, time=before["time"], metrics=before["metrics"])
            state.history[-1] = point
        self.progress(state)
        self.writer.check()
        due = state.epoch % self.execution.checkpoint_epochs == 0 or state.epoch == self.task.protocol.epochs
        if due or self.diverged or time.monotonic() - self.saved > self.execution.checkpoint_seconds:
            self.save()
        self.watch.epoch_done()
        self.on_epoch(state)
        return point

    def save(self) -> None:
        """Begin a checkpoint of this moment, unless that was done; the writer's thread finishes it.

        Raises:
            Superseded: a later attempt has taken over, as a save before has found.
            DiskFull: no space was left for a save before; the older checkpoints are untouched.
        """
        at = self.state.epoch, self.state.step
        if at == self.saved_at:
            return
        self.writer.wait()  # before the copy is made: there is never more than one
        begin = time.monotonic()
        payload = self.state.payload()
        plain = {
            # No tensors, but so many values that a copy takes as long as that of the weights.
            "history": payload.pop("history"),
            "data_fingerprint": self.task.data.fingerprint,
            "threads": torch.get_num_threads(),
            "computing": facts.computing(self.task.data.mean_C.device),
            "precision": self.task.precision,
            "notes": list(self.warnings),
        }
        complete = checkpoint.copied(payload, self.state.loss_sum.device)
        history = list(self.state.history)

        def finish() -> None:
            checkpoint.save(
                self.folder.path,
                complete() | plain,
                attempt=self.attempt.number,
                epoch=at[0],
                step=at[1],
                check=self.check,
            )
            self.check()  # it may have been stopped for hours since
            self.record(history)
            self.watch.save_took(time.monotonic() - begin)

        self.writer.begin(finish)
        self.saved, self.saved_at = begin, at

    def check(self) -> None:
        """Raise `Superseded` if a later attempt has taken over."""
        if not self.attempt.counts():
            raise Superseded

    def record(self, history: Sequence[Point]) -> None:
        """Append what a checkpoint covers and the spool lacks; a line may have been damaged since it was written."""
        held = spool.read(self.folder.path)
        new = [{"epoch": p.epoch, "time": p.time, "metrics": p.metrics} for p in history if p.epoch not in held]
        spool.append(self.folder.path, new, attempt=self.attempt.number)


def _other_computing(was: object, now: Mapping[str, str]) -> list[str]:
    """Say of what decides bits that it is another than before; a checkpoint of an earlier version does not tell."""
    if not isinstance(was, dict):
        return []
    changed = [
        f"{name} {now.get(name) or 'none'} after {was[name] or 'none'}" for name in was if was[name] != now.get(name)
    ]
    return [f"resumed with {', '.join(changed)}: equal only up to rounding from there on"] if changed else []
