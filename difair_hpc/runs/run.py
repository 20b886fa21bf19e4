"""Execute one run: claim it, load or restore, train, evaluate, and write result.json last."""

import io
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from difair_hpc.data.benchmarks import load
from difair_hpc.data.sets import OpenSetData
from difair_hpc.errors import DifairError, RunFailed
from difair_hpc.files import write_atomically
from difair_hpc.osr.methods import make_method
from difair_hpc.runs import facts
from difair_hpc.runs.attempts import Attempt, Reason, views
from difair_hpc.runs.device import chosen_device, make_repeatable
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.measure import measure
from difair_hpc.runs.place import Place
from difair_hpc.runs.session import Session, Superseded
from difair_hpc.runs.spec import SCHEMA, ExecutionSpec
from difair_hpc.runs.stop import StopWatch
from difair_hpc.runs.suspects import diagnosis
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import Ending, Task, TrainState, fit, new_state

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
    device = chosen_device(execution)
    make_repeatable(execution)
    place = place or Place()
    about = {"place": asdict(place), "hardware": facts.hardware(device), "versions": facts.versions()}
    watch = StopWatch(folder.path, events.should_stop, ends=place.ends)
    with Attempt(folder.path, about, beside=watch.look) as attempt:
        try:
            outcome = _trained(folder, execution, attempt, events, watch)
        except DifairError as error:
            attempt.end("failed", message=str(error))
            raise
        except KeyboardInterrupt:
            attempt.end("stopped", signal="SIGINT")
            raise
        except BaseException as error:
            message = _in_words(error)
            attempt.end("failed", message=message, trace=traceback.format_exc())
            if not isinstance(error, Exception):
                raise
            raise RunFailed(f"run {folder.signature} failed: {message}") from error
        attempt.end(_REASON.get(outcome, "finished"), signal=watch.reason if outcome == "stopped" else "")
    return outcome


def _in_words(error: BaseException) -> str:
    """Return an exception with what around the process it names."""
    return "; ".join([f"{type(error).__name__}: {error}", *diagnosis(error).certain])


_REASON: dict[str, Reason] = {"stopped": "stopped", "superseded": "superseded"}


def _trained(
    folder: RunFolder, execution: ExecutionSpec, attempt: Attempt, events: Events, watch: StopWatch
) -> Outcome:
    """Train on from the newest valid checkpoint, and write the result when there is nothing left to train."""
    spec = folder.spec()
    data = load(spec.benchmark, Path(execution.data_root)).to(chosen_device(execution))
    task = Task(
        method=make_method(spec.method, data.classes),
        protocol=spec.protocol,
        data=data,
        seed=spec.seed,
        precision=facts.precision(execution.precision, data.mean_C.device),
    )
    try:
        with checkpoint.Writer() as writer:
            session = Session(
                folder=folder,
                execution=execution,
                attempt=attempt,
                task=task,
                state=new_state(task, spec.network),
                watch=watch,
                on_epoch=events.on_epoch,
                writer=writer,
            )
            session.restore()
            ending: Ending = "diverged" if session.diverged else fit(session.state, task, session)
            if ending == "stopped":
                session.save()
        if ending == "stopped":
            return "stopped"
        _finish(session)
    except Superseded:
        return "superseded"
    return _outcome(folder)


def _finish(session: Session) -> None:
    """Measure what was trained, and write model.pt and, last, result.json."""
    session.check()
    folder, task, state, spec = session.folder, session.task, session.state, session.folder.spec()
    evaluation = None
    if not session.diverged:
        data_root = Path(session.execution.data_root)
        evaluation, warnings = measure(folder.path, spec.benchmark, task, state, data_root)
        state.warnings = list(warnings)
    buffer = io.BytesIO()
    weights = {name: tensor.cpu() for name, tensor in state.network.state_dict().items()}
    torch.save({"spec": spec.to_dict(), "weights": weights, **_recipe(task.data)}, buffer)
    write_atomically(folder.path / "model.pt", buffer.getvalue())
    session.record(state.history)
    folder.finish(_result(session, weights, evaluation))
    checkpoint.keep(folder.path, 1)  # nothing follows that could need the one before


def _result(
    session: Session, weights: Mapping[str, torch.Tensor], evaluation: Mapping[str, Any] | None
) -> dict[str, Any]:
    attempts, task = views(session.folder.path), session.task
    seconds = sum(attempt.seconds for attempt in attempts[:-1]) + time.time() - float(attempts[-1].record["started"])
    return {
        "schema": SCHEMA,
        "signature": session.folder.signature,
        "outcome": "diverged" if evaluation is None else "completed",
        "spec": session.folder.spec().to_dict(),
        "evaluation": evaluation,
        "epochs": session.state.epoch,
        "attempts": len(attempts),
        "place": {"job": attempts[-1].place.job, "node": attempts[-1].place.node},
        "seconds": round(seconds, 3),
        "finished": time.time(),
        "data_fingerprint": task.data.fingerprint,
        "weights_sha256": facts.digest(weights),
        "hardware": {**facts.hardware(task.data.mean_C.device), "precision": task.precision},
        "versions": facts.versions(),
        "warnings": [*dict.fromkeys([*session.warnings, *session.state.warnings])],
    }


def _outcome(folder: RunFolder) -> Outcome:
    result = folder.result()
    return "superseded" if result is None else result["outcome"]


def _recipe(data: OpenSetData) -> dict[str, Any]:
    """What it takes to use the weights: normalisation and names."""
    return {"mean": data.mean_C.tolist(), "std": data.std_C.tolist(), "class_names": list(data.class_names)}
