"""Execute one run: claim it, load or restore, train, evaluate, and write result.json last."""

import hashlib
import io
import json
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from difair_hpc.data.benchmarks import load
from difair_hpc.data.sets import OpenSetData
from difair_hpc.errors import DifairError, InvalidValue, RunFailed, UserError
from difair_hpc.files import write_atomically, write_once
from difair_hpc.osr.methods import make_method
from difair_hpc.runs import facts, spool
from difair_hpc.runs.attempts import Attempt, Reason, views
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.place import Place
from difair_hpc.runs.spec import SCHEMA, ExecutionSpec, RunSpec
from difair_hpc.runs.stop import StopWatch
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import Ending, Point, Task, TrainState, fit, new_state

Outcome = Literal["completed", "diverged", "stopped", "superseded"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """What the process around a run wants to be asked and told."""

    should_stop: Callable[[], object] = lambda: False
    """Asked between batches; something true makes the run save and leave, and text goes on record as the reason."""
    on_epoch: Callable[[TrainState], None] = lambda _: None
    """Told after every epoch."""


def execute(folder: RunFolder, execution: ExecutionSpec, events: Events, place: Place | None = None) -> Outcome:
    """Run from the newest valid checkpoint to the end, a stop, or an error.

    Args:
        folder: A created run folder.
        execution: Device, threads, data root and how often to save.
        events: When to stop, and who wants to know of progress.
        place: The job around this process; a run leaves by itself before the job's time is up.

    Raises:
        RunBusy: another live process works on it.
        UserError: what the run needs is missing; the attempt is on record as failed.
        RunFailed: training raised; the trace is in the attempt's record.
    """
    if folder.result() is not None:
        return _outcome(folder)
    folder.spec()
    device = _device(execution)
    _repeatable(execution)
    place = place or Place()
    about = {"place": asdict(place), "hardware": facts.hardware(device), "versions": facts.versions()}
    with Attempt(folder.path, about) as attempt:
        watch = StopWatch(folder.path, events.should_stop, ends=place.ends)
        try:
            outcome = _Session.begin(folder, execution, attempt, events, watch).run()
        except DifairError as error:
            attempt.end("failed", message=str(error))
            raise
        except BaseException as error:
            attempt.end("failed", message=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
            if not isinstance(error, Exception):
                raise
            raise RunFailed(f"run {folder.signature} failed: {type(error).__name__}: {error}") from error
        attempt.end(_REASON.get(outcome, "finished"), signal=watch.reason if outcome == "stopped" else "")
    return outcome


_REASON: dict[str, Reason] = {"stopped": "stopped", "superseded": "superseded"}


class _Superseded(Exception):
    """A later attempt has taken over; nothing more may be written."""


@dataclass(kw_only=True, slots=True)
class _Session:
    """One attempt at work: the `Watch` of the trainer."""

    folder: RunFolder
    spec: RunSpec
    execution: ExecutionSpec
    attempt: Attempt
    task: Task
    state: TrainState
    events: Events
    watch: StopWatch
    recorded: dict[int, dict[str, Any]]
    """The spool when the attempt began: what was recorded once stands."""
    warnings: list[str] = field(default_factory=list)
    steps: int = 0
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls, folder: RunFolder, execution: ExecutionSpec, attempt: Attempt, events: Events, watch: StopWatch
    ) -> "_Session":
        """Load the data, build the network, and restore the newest valid checkpoint if there is one."""
        spec = folder.spec()
        data = load(spec.benchmark, Path(execution.data_root)).to(_device(execution))
        task = Task(method=make_method(spec.method, data.classes), protocol=spec.protocol, data=data, seed=spec.seed)
        session = cls(
            folder=folder,
            spec=spec,
            execution=execution,
            attempt=attempt,
            task=task,
            state=new_state(task, spec.network),
            events=events,
            watch=watch,
            recorded=spool.read(folder.path),
            warnings=list(data.warnings),
            steps=-(-len(data.train) // spec.protocol.batch_size),
        )
        session._restore()
        return session

    def run(self) -> Outcome:
        """Train on, and write the result when there is nothing left to train."""
        try:
            ending: Ending = "finished"
            if not self._diverged():
                ending = fit(self.state, self.task, self)
            if ending == "stopped":
                self._save()
                return "stopped"
            self._finish()
        except _Superseded:
            return "superseded"
        return _outcome(self.folder)

    def should_stop(self) -> bool:
        """Pass on what the process around the run, its mark or its time limit asks for."""
        return bool(self.watch.asked())

    def progress(self, state: TrainState) -> None:
        """Note the position for the heartbeat."""
        accuracy = (state.evaluation or {}).get("closed_set_accuracy")
        self.attempt.at(epoch=state.epoch, step=state.step, steps=self.steps, accuracy=accuracy)

    def epoch_done(self, state: TrainState, point: Point) -> Point:
        """Save where a checkpoint is due; an epoch that is on record already keeps its moment."""
        before = self.recorded.get(point.epoch)
        if before is not None:
            if json.dumps(before["metrics"]) != json.dumps(point.metrics):  # as text, NaN equals NaN
                self.warnings.append(f"epoch {point.epoch} was trained again with other values than on record")
            point = Point(epoch=point.epoch, time=before["time"], metrics=before["metrics"])
            state.history[-1] = point
        self.progress(state)
        due = state.epoch % self.execution.checkpoint_epochs == 0 or state.epoch == self.spec.protocol.epochs
        if due or self._diverged() or time.monotonic() - self.saved > self.execution.checkpoint_seconds:
            self._save()
        self.watch.epoch_done()
        self.events.on_epoch(state)
        return point

    def _diverged(self) -> bool:
        return bool(self.state.history) and not math.isfinite(self.state.history[-1].metrics["train_loss"])

    def _restore(self) -> None:
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
        if loaded.payload["threads"] != torch.get_num_threads():
            was, now = loaded.payload["threads"], torch.get_num_threads()
            self.warnings.append(f"resumed with {now} CPU threads after {was}: equal only up to rounding from there on")
        self._record()

    def _save(self) -> None:
        self._check()
        begin = time.monotonic()
        about = {
            "data_fingerprint": self.task.data.fingerprint,
            "threads": torch.get_num_threads(),
            "notes": list(self.warnings),
        }
        state = self.state
        checkpoint.save(
            self.folder.path,
            state.payload() | about,
            attempt=self.attempt.number,
            epoch=state.epoch,
            step=state.step,
        )
        self.saved = time.monotonic()
        self.watch.save_took(self.saved - begin)
        self._record()

    def _record(self) -> None:
        """Append what the checkpoint covers and the spool lacks."""
        new = {
            point.epoch: {"epoch": point.epoch, "time": point.time, "metrics": point.metrics}
            for point in self.state.history
            if point.epoch not in self.recorded
        }
        spool.append(self.folder.path, new.values(), attempt=self.attempt.number)
        self.recorded |= new

    def _finish(self) -> None:
        self._check()
        buffer = io.BytesIO()
        weights = {name: tensor.cpu() for name, tensor in self.state.network.state_dict().items()}
        torch.save({"spec": self.spec.to_dict(), "weights": weights, **_recipe(self.task.data)}, buffer)
        write_atomically(self.folder.path / "model.pt", buffer.getvalue())
        write_once(self.folder.path / "result.json", json.dumps(self._result(weights), indent=1))

    def _result(self, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        attempts = views(self.folder.path)
        diverged = self._diverged()
        return {
            "schema": SCHEMA,
            "signature": self.folder.signature,
            "outcome": "diverged" if diverged else "completed",
            "spec": self.spec.to_dict(),
            "evaluation": None if diverged else {**(self.state.evaluation or {}), "held_out": self.task.data.held_out},
            "epochs": self.state.epoch,
            "attempts": len(attempts),
            "place": {"job": attempts[-1].place.job, "node": attempts[-1].place.node},
            "seconds": round(sum(attempt.seconds for attempt in attempts[:-1]) + self._seconds(), 3),
            "finished": time.time(),
            "data_fingerprint": self.task.data.fingerprint,
            "weights_sha256": _digest(weights),
            "hardware": facts.hardware(self.task.data.mean_C.device),
            "versions": facts.versions(),
            "warnings": [*dict.fromkeys([*self.warnings, *self.state.warnings])],
        }

    def _seconds(self) -> float:
        record = views(self.folder.path)[-1].record
        return time.time() - float(record["started"])

    def _check(self) -> None:
        if not self.attempt.counts():
            raise _Superseded


def _device(execution: ExecutionSpec) -> torch.device:
    name = execution.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidValue("execution.device", name, "auto, cpu, cuda or cuda:NUMBER") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidValue("execution.device", name, "cpu here: torch sees no CUDA GPU")
    return device


def _repeatable(execution: ExecutionSpec) -> None:
    """Make arithmetic repeat to the bit: deterministic kernels, and a fixed number of threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(execution.threads or len(os.sched_getaffinity(0)))


def _outcome(folder: RunFolder) -> Outcome:
    result = folder.result()
    return "superseded" if result is None else result["outcome"]


def _recipe(data: OpenSetData) -> dict[str, Any]:
    """What it takes to use the weights: normalisation and names."""
    return {"mean": data.mean_C.tolist(), "std": data.std_C.tolist(), "class_names": list(data.class_names)}


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
