"""The door to what executes runs: processes on this machine, and a fake in memory with the same behaviour."""

import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from difair_hpc.errors import Failure
from difair_hpc.files import new_file
from difair_hpc.folders import make_folder
from difair_hpc.launch import SAFE_PATH, python
from difair_hpc.runs.place import last_words, logs_folder
from difair_hpc.runs.spec import ExecutionSpec, plain
from difair_hpc.sweep.jobs import Job, JobEnd, Order
from difair_hpc.sweep.slurm import JOB_MODULE


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
    """Processes on this machine, one per job; they outlive the command that started them.

    A job is told everything by its command line and its standard input, which nobody else can change: nothing in the
    output root says what is executed.
    """

    detached = False

    def __init__(self, root: Path, execution: ExecutionSpec, *, gpus: Sequence[str] = ()) -> None:
        """Prepare to start jobs.

        Args:
            root: Output root; the logs of jobs go to its `logs_folder`.
            execution: How each run is executed.
            gpus: Names of the GPUs to hand out, one per job (runs/gpus.py); none: jobs see none.
        """
        self._root = root.absolute()
        self._execution = plain(execution)
        self._gpus = gpus
        self._jobs: list[_LocalJob] = []

    def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:  # noqa: ARG002
        """Start a process for each job; what the terminal sends to the command, such as Ctrl-C, reaches it too.

        Raises:
            Failure: a process cannot be started, or its log cannot be made.
        """
        for order in orders:
            try:
                self._start(order)
            except OSError as error:
                raise Failure(f"no process could be started for run {order.runs[0]}: {error}.") from error

    def _start(self, order: Order) -> None:
        busy = Counter(live.gpu for live in self._live())
        gpu = min(self._gpus, key=lambda name: (busy[name], self._gpus.index(name)), default="")
        environment = os.environ | SAFE_PATH | _threads(self._execution["threads"]) | _visible(gpu)
        words = json.dumps({"runs": order.runs, "execution": self._execution})
        job, log = _new_log(self._root)
        with log, new_file(_log(self._root, job, "out")) as out, tempfile.TemporaryFile() as told, _held_back():
            told.write(words.encode())
            told.seek(0)
            command = [*python(), *JOB_MODULE, str(self._root), "-", job]
            process = subprocess.Popen(command, env=environment, stdin=told, stdout=out, stderr=log)
            self._jobs.append(_LocalJob(id=job, process=process, order=order, gpu=gpu))

    def jobs(self) -> Sequence[Job]:
        """Return the processes that have not ended."""
        return [Job(runs=live.order.runs, id=live.id, state="RUNNING") for live in self._live()]

    def ended(self, job: str) -> JobEnd | None:
        """Return that a process has left, of which nothing more is known."""
        return None if any(live.id == job for live in self._live()) else JobEnd()

    def past(self, signature: str) -> Sequence[JobEnd]:
        """Return the processes that this command started for the run and that ended."""
        self._live()
        return [
            JobEnd(id=job.id, time=job.ended, begun=job.order.begun)
            for job in self._jobs
            if job.ended and job.order.runs[0] == signature
        ]

    def stop(self) -> None:
        """Send SIGTERM; the runs save between two batches and leave, and a job that is only starting ends at once."""
        for live in self._live():
            live.process.terminate()

    def last_words(self, signature: str) -> str:
        """Return the last lines of the job's standard error."""
        jobs = [job.id for job in self._jobs if signature in job.order.runs]
        return last_words(_log(self._root, jobs[-1], "err")) if jobs else ""

    def _live(self) -> list["_LocalJob"]:
        for job in self._jobs:
            if not job.ended and job.process.poll() is not None:
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
    id: str
    process: "subprocess.Popen[bytes]"
    order: Order
    gpu: str
    ended: float = 0.0


def _log(root: Path, job: str, kind: str) -> Path:
    """Return where a job prints (runs/place.py knows the name too)."""
    return logs_folder(root) / f"{job}_0_log.{kind}"


def _new_log(root: Path) -> tuple[str, IO[bytes]]:
    """Return a job id that no log in the folder has, and the error log of that job.

    It is no number of a process: machines that share an output root give the same ones, and so does one machine again.
    """
    make_folder(logs_folder(root))
    while True:
        job = f"local-{uuid.uuid4().hex[:6]}"
        try:
            return job, new_file(_log(root, job, "err"))
        except FileExistsError:
            continue


@contextmanager
def _held_back() -> Iterator[None]:
    """Let Ctrl-C and a closed terminal wait until a process that is started in the block is ready for them (run_job).

    Here they wait for the end of the block. What this process ignores, such as SIGHUP under nohup, the other ignores.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _threads(count: int | None) -> dict[str, str]:
    """Return the variables by which every numeric library uses so many threads; None: they stay as they are."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {} if count is None else dict.fromkeys(names, str(count))


def _visible(gpu: str) -> dict[str, str]:
    """Return the variables by which a process sees this GPU and no other; AMD's only where the user has set it."""
    amd = {"HIP_VISIBLE_DEVICES": gpu} if "HIP_VISIBLE_DEVICES" in os.environ else {}
    return {"CUDA_VISIBLE_DEVICES": gpu, **amd}
