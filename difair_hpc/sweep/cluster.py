"""The door to what executes runs: submitit's local processes, and a fake in memory with the same behaviour."""

import os
import re
import shlex
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from difair_hpc.errors import InvalidValue
from difair_hpc.launch import SAFE_PATH, python
from difair_hpc.runs.spec import ExecutionSpec, plain
from difair_hpc.runs.stop import is_ignored
from difair_hpc.sweep.jobs import Job, JobEnd, Order

if TYPE_CHECKING:
    import submitit

_FOREVER_MIN = 60 * 24 * 365


_STANDS_FOR_NUMBER = re.compile("%[jtaA]")


class Cluster(Protocol):
    """Takes runs by their signature and says which of them have a job."""

    detached: bool
    """Whether jobs are to go on when the command that submitted them is stopped."""

    def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:
        """Start jobs, on none of the nodes in `exclude`; a run that another job has begun is passed over."""

    def jobs(self) -> Sequence[Job]:
        """Return the jobs that have not ended."""

    def ended(self, job: str) -> JobEnd | None:
        """Return how a job left, by its id; None while it has not."""

    def past(self, signature: str) -> Sequence[JobEnd]:
        """Return how the jobs left that were to begin a run, the oldest first."""

    def stop(self) -> None:
        """Ask all jobs to save and leave."""

    def last_words(self, signature: str) -> str:
        """Return the end of what the last job of a run printed as its error, or nothing."""


class LocalCluster:
    """Processes on this machine, by submitit's local executor; they outlive the process that started them."""

    detached = False

    def __init__(self, root: Path, execution: ExecutionSpec, *, gpus: Sequence[str] = ()) -> None:
        """Prepare to start jobs.

        Args:
            root: Output root; the logs of jobs go to `jobs/` there.
            execution: How each run is executed.
            gpus: Names of the GPUs to hand out, one per job (runs/gpus.py); none: jobs see none.
        """
        import submitit

        self._root = root.absolute()
        self._execution = plain(execution)
        self._gpus = gpus
        self._jobs: list[_LocalJob] = []
        self._executor = submitit.LocalExecutor(_literal(self._root / "jobs"), python=shlex.join(python()))

    def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:  # noqa: ARG002
        """Start a process for each job; Ctrl-C in the terminal reaches it, not submitit's controller."""
        for order in orders:
            self._start(order)

    def _start(self, order: Order) -> None:
        from difair_hpc.runs.job import run_job  # brings torch

        busy = Counter(live.gpu for live in self._live())
        gpu = min(self._gpus, key=lambda name: (busy[name], self._gpus.index(name)), default="")
        self._executor.update_parameters(timeout_min=_FOREVER_MIN, gpus_per_node=1 if gpu else 0)
        # update_parameters takes numbers alone, but a GPU may have been given by another name.
        self._executor.parameters["visible_gpus"] = (gpu,) if gpu else ()
        amd = {"HIP_VISIBLE_DEVICES": gpu} if "HIP_VISIBLE_DEVICES" in os.environ else {}
        # What the terminal sends to all is for the runs: submitit's controller would kill its run a second later.
        heard = [number for number in (signal.SIGINT, signal.SIGHUP) if not is_ignored(number)]
        obey = ["SIGTERM", "SIGUSR2", *(number.name for number in heard)]
        with _ignored(heard), _environment(SAFE_PATH | amd | _threads(self._execution["threads"])):
            job = self._executor.submit(run_job, str(self._root), list(order.runs), self._execution, obey=obey)
        self._jobs.append(_LocalJob(job=job, order=order, gpu=gpu))

    def jobs(self) -> Sequence[Job]:
        """Return the processes that have not ended."""
        return [Job(runs=live.order.runs, id=str(live.job.job_id), state="RUNNING") for live in self._live()]

    def ended(self, job: str) -> JobEnd | None:
        """Return that a process has left, of which nothing more is known."""
        return None if any(str(live.job.job_id) == job for live in self._live()) else JobEnd()

    def past(self, signature: str) -> Sequence[JobEnd]:
        """Return the processes that this command started for the run and that ended."""
        self._live()
        return [
            JobEnd(id=str(job.job.job_id), time=job.ended, begun=job.order.begun)
            for job in self._jobs
            if job.ended and job.order.runs[0] == signature
        ]

    def stop(self) -> None:
        """Send SIGTERM through submitit's controllers; the runs save between two batches and leave."""
        for live in self._live():
            os.kill(int(live.job.job_id), signal.SIGTERM)

    def last_words(self, signature: str) -> str:
        """Return the last lines of the job's standard error."""
        logs = [job.job.paths.stderr for job in self._jobs if signature in job.order.runs]
        if not logs or not logs[-1].exists():
            return ""
        return "\n".join(logs[-1].read_text("utf-8", errors="replace").splitlines()[-5:])

    def _live(self) -> list["_LocalJob"]:
        for job in self._jobs:
            if not job.ended and job.job.done():
                job.ended = time.time()
        return [job for job in self._jobs if not job.ended]


class MemoryCluster:
    """A cluster without processes: a submitted run is executed by a callable when `work` is called."""

    detached = False

    def __init__(self, execute: Callable[[str], object]) -> None:
        """Keep what executes a run, given its signature."""
        self._execute = execute
        self._waiting: list[Order] = []
        self._over: list[tuple[Order, JobEnd]] = []
        self.submitted: list[tuple[str, ...]] = []
        self.excluded: list[Collection[str]] = []
        self.memory: list[float] = []

    def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:
        """Queue jobs."""
        self._waiting += orders
        self.submitted += [order.runs for order in orders]
        self.memory += [order.memory_factor for order in orders]
        self.excluded.append(exclude)

    def jobs(self) -> Sequence[Job]:
        """Return the queued jobs."""
        return [Job(runs=order.runs, state="PENDING", reason="Priority") for order in self._waiting]

    def ended(self, job: str) -> JobEnd | None:  # noqa: ARG002
        """Return that nothing is known of a job that some attempt names."""
        return JobEnd()

    def past(self, signature: str) -> Sequence[JobEnd]:
        """Return the jobs that were worked off and had the run as their first."""
        return [end for order, end in self._over if order.runs[0] == signature]

    def stop(self) -> None:
        """Drop the queue."""
        self._waiting.clear()

    def last_words(self, signature: str) -> str:  # noqa: ARG002
        """Return nothing: there is no output."""
        return ""

    def work(self, *, state: str = "COMPLETED", node: str = "") -> None:
        """Execute all that is queued, each run once; the jobs leave in `state` from `node`."""
        for signature in dict.fromkeys(signature for order in self._waiting for signature in order.runs):
            self._execute(signature)
        now = time.time()
        self._over += [(o, JobEnd(state=state, node=node, time=now, begun=o.begun)) for o in self._waiting]
        self._waiting.clear()


@dataclass(kw_only=True, slots=True)
class _LocalJob:
    job: "submitit.Job[str]"
    order: Order
    gpu: str
    ended: float = 0.0


def _literal(folder: Path) -> Path:
    """Return another way to a folder in whose name submitit would put numbers for %j, %t, %a or %A: through a link.

    Raises:
        InvalidValue: the folder for temporary files has such a name too.
    """
    if not _STANDS_FOR_NUMBER.search(str(folder)):
        return folder
    link = Path(tempfile.mkdtemp(prefix="difair-")) / "jobs"
    if _STANDS_FOR_NUMBER.search(str(link)):
        raise InvalidValue("TMPDIR", tempfile.gettempdir(), "a folder without %j, %t, %a and %A in its name")
    folder.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder)
    return link


@contextmanager
def _ignored(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Let processes that are started in the block be born with these signals ignored."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _threads(count: int | None) -> dict[str, str]:
    """Return the variables by which every numeric library uses so many threads; None: they stay as they are."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {} if count is None else dict.fromkeys(names, str(count))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let processes that are started in the block have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
