"""What a job executes: runs one after another, in a process of its own.

SLURM's jobs come in by `launch.py -m difair_hpc.runs.job ROOT WAVE`: the wave's file lists the runs of each array task.
Several such processes may share a job (runs_per_gpu): they list the same runs, and whichever comes first claims one.
Local jobs come in by `launch.py -m difair_hpc.runs.job ROOT - JOB`: their runs are listed on standard input.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from difair_hpc.errors import DifairError, RunBusy
from difair_hpc.files import read_owned
from difair_hpc.folders import keep_private
from difair_hpc.nofollow import root_at
from difair_hpc.runs.attempts import falls_silent, newest
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.place import AGAIN, here
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.shipping import DRAIN_SECONDS, Shipping, of_job
from difair_hpc.runs.spec import ExecutionSpec, build
from difair_hpc.runs.stop import STOP_SIGNALS, TIME, stop_on_signal
from difair_hpc.train.trainer import TrainState
from difair_hpc.user import complete_environment


def run_job(
    root: str,
    signatures: Sequence[str],
    execution: Mapping[str, Any],
    *,
    minutes: float | None = None,
    server: str = "",
    study: Path | None = None,
    slurm: bool = False,
    local: str = "",
) -> str:
    """Execute runs until the last one or a stop; their folders say how they left.

    Args:
        root: Output root.
        signatures: Created runs. One that another process works on, that is finished or held back is passed over.
        execution: Fields of `ExecutionSpec`, as plain values.
        minutes: Time limit of the job around this process.
        server: Address of the MLflow server to which the job ships what it does; empty: that is left to others.
        study: The folder of the study, where there is a server.
        slurm: Whether a SLURM job of the engine's executes this, not a process on the user's machine.
        local: Id of the job of this machine around this process.

    Returns:
        The name of the signal that stopped the job, `stop.TIME` if it left before its limit, or nothing.
    """
    keep_private(Path(root))
    spec, began = build(ExecutionSpec, execution, key="execution"), time.time()
    begun: list[RunFolder] = []
    with stop_on_signal(obey=("SIGTERM", "SIGUSR2")) as flag, _shipped(server, study, begun):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # LocalCluster has held some back until now

        def passes(folder: RunFolder) -> bool:
            """Execute a run, or find that nothing is to be done; False: another process holds it."""
            if flag or folder.state().hold:
                return True
            place = here(Path(root), slurm=slurm, local=local, minutes=minutes, since=began)
            begun.append(folder)
            try:
                events = Events(should_stop=lambda: flag.reason, on_epoch=partial(_say, folder.signature))
                _write(f"run {folder.signature}: {execute(folder, spec, events, place)}")
            except RunBusy:
                return False
            except DifairError as error:
                sys.stderr.write(f"{error}\n")
            last = newest(folder.path)
            if last is not None and last.end is not None and last.end["signal"] == TIME:
                flag.reason = TIME
            return True

        busy = [folder for folder in (run_folder(Path(root), name) for name in signatures) if not passes(folder)]
        for folder in busy:
            if folder.result() is None and falls_silent(folder.path, give_up=flag.__bool__):
                passes(folder)
    return flag.reason


@contextmanager
def _shipped(server: str, study: Path | None, begun: Sequence[RunFolder]) -> Iterator[None]:
    """Ship the runs of the job to a server while the block executes them."""
    if not server or study is None:
        yield
        return

    def tell(line: str) -> None:
        sys.stderr.write(f"warning: {line}\n")

    with Shipping(tell, patience=DRAIN_SECONDS).beside(of_job(study, server, begun, tell)):
        yield


def _say(signature: str, state: TrainState) -> None:
    """Print an evaluated epoch, for `difair logs`."""
    metrics = state.history[-1].metrics
    if "closed_set_accuracy" in metrics:
        shown = "  ".join(f"{name} {metrics[name]:.4f}" for name in ("train_loss", "closed_set_accuracy"))
        _write(f"run {signature}: epoch {state.epoch}  {shown}")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Execute the runs of a local job, or of this task of a wave; exit with `AGAIN` when the job's time is up."""
    root, wave, *job = sys.argv[1:]
    root_at(Path(root))
    complete_environment()
    if job:
        _execute_local(root, job[0])
        return 0
    text, owner = read_owned(Path(wave))
    if owner != os.geteuid():
        sys.stderr.write(f"difair: {wave} is not yours any more; nothing was executed\n")
        return 1
    content = json.loads(text)
    signatures = content["jobs"][int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))]
    lane = int(os.environ.get("SLURM_PROCID", "0"))
    signatures = [*signatures[lane:], *signatures[:lane]]
    place = {"server": content.get("server", ""), "study": Path(wave).absolute().parents[1]}
    stopped = run_job(root, signatures, content["execution"], minutes=content["minutes"], slurm=True, **place)
    return AGAIN if stopped in ("SIGUSR2", TIME) else 0


def _execute_local(root: str, job: str) -> None:
    """Execute what standard input says: an object with the fields runs and execution."""
    told = json.loads(sys.stdin.buffer.read())
    run_job(root, told["runs"], told["execution"], local=job)
    for number in (signal.SIGINT, signal.SIGHUP):  # nothing is left that could be stopped
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
