"""The door to what executes runs: submitit's local processes, and a fake in memory with the same behaviour."""

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from difair_hpc.runs.spec import ExecutionSpec, plain

if TYPE_CHECKING:
    import submitit

_FOREVER_MIN = 60 * 24 * 365


class Cluster(Protocol):
    """Takes runs by their signature and says which of them have a job."""

    detached: bool
    """Whether jobs are to go on when the command that submitted them is stopped."""

    def submit(self, jobs: Sequence[Sequence[str]]) -> None:
        """Start jobs; each executes its runs one after another, passing over those that another job has begun."""

    def jobs(self) -> Collection[Collection[str]]:
        """Return for each job that has not ended the signatures of its runs."""

    def stop(self) -> None:
        """Ask all jobs to save and leave."""

    def last_words(self, signature: str) -> str:
        """Return the end of what the last job of a run printed as its error, or nothing."""


class LocalCluster:
    """Processes on this machine, by submitit's local executor; they outlive the process that started them."""

    detached = False

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
        self._jobs: list[_LocalJob] = []
        self._executor = submitit.LocalExecutor(self._root / "jobs")

    def submit(self, jobs: Sequence[Sequence[str]]) -> None:
        """Start a process for each job; Ctrl-C in the terminal reaches it, not submitit's controller."""
        for signatures in jobs:
            self._start(signatures)

    def _start(self, signatures: Sequence[str]) -> None:
        from difair_hpc.runs.job import run_job  # imports torch, which takes seconds: not for the other clusters

        gpu = min(set(range(max(self._gpus, 1))) - {live.gpu for live in self._live()}, default=0)
        self._executor.update_parameters(
            timeout_min=_FOREVER_MIN,
            gpus_per_node=1 if self._gpus else 0,
            visible_gpus=(gpu,) if self._gpus else (),
        )
        with _ignored(signal.SIGINT), _threads(self._execution["threads"]):
            job = self._executor.submit(run_job, str(self._root), list(signatures), self._execution)
        self._jobs.append(_LocalJob(job=job, signatures=tuple(signatures), gpu=gpu))

    def jobs(self) -> Collection[Collection[str]]:
        """Return for each process that has not ended the signatures of its runs."""
        return [live.signatures for live in self._live()]

    def stop(self) -> None:
        """Send SIGTERM through submitit's controllers; the runs save between two batches and leave."""
        for live in self._live():
            os.kill(int(live.job.job_id), signal.SIGTERM)

    def last_words(self, signature: str) -> str:
        """Return the last lines of the job's standard error."""
        logs = [job.job.paths.stderr for job in self._jobs if signature in job.signatures]
        if not logs or not logs[-1].exists():
            return ""
        return "\n".join(logs[-1].read_text("utf-8", errors="replace").splitlines()[-5:])

    def _live(self) -> list["_LocalJob"]:
        return [job for job in self._jobs if not job.job.done()]


class MemoryCluster:
    """A cluster without processes: a submitted run is executed by a callable when `work` is called."""

    detached = False

    def __init__(self, execute: Callable[[str], object]) -> None:
        """Keep what executes a run, given its signature."""
        self._execute = execute
        self._waiting: list[tuple[str, ...]] = []
        self.submitted: list[tuple[str, ...]] = []

    def submit(self, jobs: Sequence[Sequence[str]]) -> None:
        """Queue jobs."""
        self._waiting += [tuple(signatures) for signatures in jobs]
        self.submitted += [tuple(signatures) for signatures in jobs]

    def jobs(self) -> Collection[Collection[str]]:
        """Return the runs of each queued job."""
        return list(self._waiting)

    def stop(self) -> None:
        """Drop the queue."""
        self._waiting.clear()

    def last_words(self, signature: str) -> str:  # noqa: ARG002
        """Return nothing: there is no output."""
        return ""

    def work(self) -> None:
        """Execute all that is queued, each run once."""
        for signature in dict.fromkeys(signature for job in self._waiting for signature in job):
            self._execute(signature)
        self._waiting.clear()


@dataclass(frozen=True, kw_only=True, slots=True)
class _LocalJob:
    job: "submitit.Job[str]"
    signatures: tuple[str, ...]
    gpu: int


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
