"""The door to what executes runs: submitit's local processes, and a fake in memory with the same behaviour."""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from difair_hpc.runs.job import run_job
from difair_hpc.runs.spec import ExecutionSpec, plain

_FOREVER_MIN = 60 * 24 * 365


class Cluster(Protocol):
    """Takes runs by their signature and says which of them a job is on its way to."""

    def submit(self, signature: str) -> None:
        """Start a job that executes the run."""

    def jobs(self) -> Collection[str]:
        """Return the signatures of the runs whose job has not ended."""

    def stop(self) -> None:
        """Ask all jobs to save and leave."""

    def last_words(self, signature: str) -> str:
        """Return the end of what the last job of a run printed as its error, or nothing."""


class LocalCluster:
    """Processes on this machine, by submitit's local executor; they outlive the process that started them."""

    def __init__(self, root: Path, execution: ExecutionSpec, *, gpus: int = 0) -> None:
        """Prepare to start jobs.

        Args:
            root: Output root; the logs of jobs go to `jobs/` there.
            execution: How each run is executed.
            gpus: GPUs to hand out, one per job; 0: jobs see none.
        """
        import submitit

        self._root = root.absolute()
        self._execution = plain(execution)
        self._gpus = gpus
        self._jobs: dict[str, submitit.Job[str]] = {}
        self._slots: dict[str, int] = {}
        self._executor = submitit.LocalExecutor(self._root / "jobs")

    def submit(self, signature: str) -> None:
        """Start a process for the run; Ctrl-C in the terminal reaches the run, not submitit's controller."""
        gpu = min(set(range(max(self._gpus, 1))) - {self._slots[live] for live in self.jobs()}, default=0)
        self._executor.update_parameters(
            timeout_min=_FOREVER_MIN,
            gpus_per_node=1 if self._gpus else 0,
            visible_gpus=(gpu,) if self._gpus else (),
        )
        with _ignored(signal.SIGINT), _threads(self._execution["threads"]):
            self._jobs[signature] = self._executor.submit(run_job, str(self._root), signature, self._execution)
        self._slots[signature] = gpu

    def jobs(self) -> Collection[str]:
        """Return the signatures of the runs whose process has not ended."""
        return {signature for signature, job in self._jobs.items() if not job.done()}

    def stop(self) -> None:
        """Send SIGTERM through submitit's controllers; the runs save between two batches and leave."""
        for signature in self.jobs():
            os.kill(int(self._jobs[signature].job_id), signal.SIGTERM)

    def last_words(self, signature: str) -> str:
        """Return the last lines of the job's standard error."""
        job = self._jobs.get(signature)
        path = None if job is None else job.paths.stderr
        if path is None or not path.exists():
            return ""
        return "\n".join(path.read_text("utf-8", errors="replace").splitlines()[-5:])


class MemoryCluster:
    """A cluster without processes: a submitted run is executed by a callable when `work` is called."""

    def __init__(self, execute: Callable[[str], object]) -> None:
        """Keep what executes a run, given its signature."""
        self._execute = execute
        self._waiting: list[str] = []
        self.submitted: list[str] = []

    def submit(self, signature: str) -> None:
        """Queue the run."""
        self._waiting.append(signature)
        self.submitted.append(signature)

    def jobs(self) -> Collection[str]:
        """Return the queued runs."""
        return set(self._waiting)

    def stop(self) -> None:
        """Drop the queue."""
        self._waiting.clear()

    def last_words(self, signature: str) -> str:  # noqa: ARG002
        """Return nothing: there is no output."""
        return ""

    def work(self) -> None:
        """Execute all that is queued."""
        for signature in self._waiting:
            self._execute(signature)
        self._waiting.clear()


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started in the block be born with the signal ignored."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let processes that are started in the block use `count` threads in every numeric library."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    if count is not None:
        os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
