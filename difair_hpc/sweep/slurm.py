"""Runs as SLURM jobs: one array per wave, rendered by submitit, found again by its name.

A wave is on disk before sbatch, and its job is named after it. So a job that SLURM accepted while sbatch reported a
failure, or while this process died, is recognised in the queue. Whether jobs live is asked of one squeue call for all
of the user's jobs, never of a job's own files; how they ended, of the same call or, once they have left, of sacct.
"""

import hashlib
import os
import shlex
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from difair_hpc.errors import ClusterUnreachable, Failure, JobRefused, LimitReached
from difair_hpc.files import write_atomically
from difair_hpc.folders import make_folder, make_own_folder, own_place
from difair_hpc.launch import python
from difair_hpc.nofollow import is_own
from difair_hpc.runs.place import last_words, logs_folder
from difair_hpc.runs.spec import ExecutionSpec, plain
from difair_hpc.sweep.commands import Command, Pauses, run_command, submitted
from difair_hpc.sweep.jobs import ENDED, Job, JobEnd, Order
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.queue import Look, Queue, QueuedJob
from difair_hpc.sweep.sbatch import only_own, sbatch_text
from difair_hpc.sweep.site import SubmitLimits
from difair_hpc.sweep.waves import Wave, Waves
from difair_hpc.words import counted

SETTLING_SECONDS = 90.0
"""Time that an accepted job may take to show in the queue when nobody knows whether sbatch succeeded."""
MOST_RELEASES = 3
"""How often a job is released that a node could not start; then something else is wrong, and somebody has to look."""
_LONGEST_PAUSE_SECONDS = 300.0
_CLOCKS_DIFFER = 30.0
"""Seconds by which the clocks of nodes that share an answer of squeue may differ."""
JOB_MODULE = ("-m", "difair_hpc.runs.job")
"""What a job executes."""


class SlurmCluster:
    """Waves of jobs of one study."""

    detached = True
    """Jobs go on when the command that submitted them ends."""

    def __init__(
        self,
        root: Path,
        study: str,
        profile: Profile,
        execution: ExecutionSpec,
        *,
        queue: Queue,
        limits: Callable[[], SubmitLimits],
        again: Sequence[str] = (),
        code: Path | None = None,
        command: Command = run_command,
        program: Sequence[str] = (),
        record: bool = True,
        server: str = "",
    ) -> None:
        """Prepare to submit.

        Args:
            root: Output root on a file system that all nodes share.
            study: Name of the study; its waves are kept in its folder.
            profile: Where jobs go and what they ask for.
            execution: How each run is executed.
            queue: What SLURM tells of the user's jobs.
            limits: Tells what the site lets this user submit; asked once, before the first submission.
            again: Words of `difair` with which each job, as it ends, lets the study go on; empty: it does not.
            code: Frozen copy of the code that the jobs import; None: whatever is installed when they start.
            command: Runs a SLURM command.
            program: What a job executes in place of `JOB_MODULE`, before ROOT and the file of its wave.
            record: Put on record what the queue tells (the holder of the study's lease alone may).
            server: Address of the MLflow server to which the jobs ship; empty: they do not.
        """
        self._root = root.absolute()
        self._study = self._root / "studies" / study
        self._logs = logs_folder(self._root)
        self._profile = profile
        self._execution = plain(execution)
        self._waves = Waves(self._study / "waves")
        self._queue = queue
        self._limits = limits
        self._known_limits: SubmitLimits | None = None
        self._again = list(again)
        self._code = code
        self._command = command
        self._program = program
        self._record = record
        self._server = server
        self._pauses = Pauses(longest=_LONGEST_PAUSE_SECONDS)
        self._taken = False
        self._prefix = f"difair-{study}-{hashlib.sha256(str(self._root).encode()).hexdigest()[:6]}-"

    def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:
        """Submit arrays whose tasks execute the runs, as many as the site's limits allow; the rest waits for a tick.

        Raises:
            JobRefused, Failure: sbatch refused; its message is passed on.
            LimitReached, ClusterUnreachable: SLURM will take jobs later, or did not answer; so does everything count
                that sbatch says after it has taken a wave like this one: then it is the site that has changed.
        """
        self._pauses.check()
        if self._known_limits is None:
            self._known_limits = self._limits()
        limits, room = self._known_limits, len(orders)
        if limits.max_submit is not None:
            room = limits.max_submit - sum(job.state not in ENDED for job in self._queue.look().jobs)
            if room <= 0:
                raise LimitReached(f"the site lets you have {counted(limits.max_submit, 'job')}, and no more.")
        for chunk in _chunks(orders[:room], limits.max_array):
            self._submit_or_halve(chunk, exclude)

    def _submit_or_halve(self, orders: Sequence[Order], exclude: Collection[str]) -> None:
        """Submit one wave; where the site takes fewer jobs than it told, half of it, and the rest later."""
        try:
            self._submit_wave(orders, exclude)
        except LimitReached:
            if len(orders) == 1:
                raise
            self._submit_or_halve(orders[: len(orders) // 2], exclude)

    def _submit_wave(self, orders: Sequence[Order], exclude: Collection[str]) -> None:
        make_folder(self._logs)
        wave = self._waves.add(
            {
                "jobs": [list(order.runs) for order in orders],
                "begun": [order.begun for order in orders],
                "execution": self._execution,
                "minutes": self._profile.minutes,
                "again": self._again,
                "server": self._server,
                "folder": str(Path.cwd() if self._code is None else self._code / "own"),
                "code": None if self._code is None else str(self._code),
            }
        )
        script = wave.path.with_suffix(".sbatch")
        if (own := own_place(self._root)) != self._root:  # sbatch reads it by its name
            script = make_own_folder(own / "scripts") / f"{self._prefix}{script.name}"
        text = self.script(wave.path, len(orders), memory_factor=orders[0].memory_factor, exclude=exclude)
        write_atomically(script, text, own=True)
        try:
            job = submitted(self._command(["sbatch", "--parsable", str(script)]))
        except Failure as error:
            refused = isinstance(error, JobRefused | LimitReached)
            self._waves.answer(wave, error=str(error), refused=refused)
            if isinstance(error, LimitReached) or not (self._taken or isinstance(error, ClusterUnreachable)):
                raise
            self._pauses.failed(error)
            raise ClusterUnreachable(str(error)) from error
        self._taken = True
        self._pauses.answered()
        self._waves.answer(wave, job=job)

    def script(self, wave: Path, tasks: int, *, memory_factor: float = 1.0, exclude: Collection[str] = ()) -> str:
        """Return the sbatch script of a wave."""
        start = python(code=self._code)
        program = [*(self._program or (*start, *JOB_MODULE)), str(self._root), str(wave)]
        after = [*start, "-m", "difair_hpc.sweep.after", str(self._study), str(wave)]
        return sbatch_text(
            self._profile,
            program,
            name=self._prefix + wave.stem,
            logs=self._logs,
            tasks=tasks,
            memory_factor=memory_factor,
            exclude=exclude,
            setup=[only_own(path) for path in (self._code, wave) if path is not None and is_own(path)],
            teardown=[f"{shlex.join(after)} $code"],
        )

    def jobs(self) -> Sequence[Job]:
        """Return the jobs that have not ended; put on record how the others did, and release what no node could start.

        Raises:
            ClusterUnreachable: SLURM does not answer.
        """
        waves = self._waves.read()
        look = self._queue.look()
        queued: dict[str, dict[int, QueuedJob]] = {}
        for job in look.jobs:
            queued.setdefault(job.name, {})[job.task] = job
        found: list[Job] = []
        for wave in waves:
            if not wave.over:
                found += self._matched(wave, look, queued.get(self._prefix + wave.path.stem, {}))
        return found

    def ended(self, job: str) -> JobEnd | None:
        """Return how a job left, by its id, as far as `jobs` has seen it; None while it has not."""
        if job == _leaving():
            return JobEnd(id=job)
        array, _, task = job.partition("_")
        wave = self._waves.of_array(array)
        return JobEnd() if wave is None or not task.isdecimal() else wave.ends.get(int(task))

    def past(self, signature: str) -> Sequence[JobEnd]:
        """Return how the jobs left that were to begin a run, the oldest first."""
        return [
            replace(wave.ends[task], begun=wave.begun[task])
            for wave, task in self._waves.that_begin(signature)
            if task in wave.ends
        ]

    def stop(self) -> None:
        """Leave the jobs alone: they go on without this command."""

    def last_words(self, signature: str) -> str:
        """Return the end of the newest log of a job that was to begin the run."""
        for wave, task in reversed(self._waves.that_begin(signature)):
            log = self._logs / f"{wave.job_id(task)}_0_log.err"
            if words := last_words(log):
                return words
        return ""

    def _matched(self, wave: Wave, look: Look, queued: Mapping[int, QueuedJob]) -> list[Job]:
        """Return the live jobs of a wave, whose tasks the queue shows; those that have ended are put on record."""
        wave.seen = wave.seen or bool(queued)
        if queued and not wave.id and self._record:
            self._waves.answer(wave, job=next(iter(queued.values())).id.partition("_")[0])
        ends: dict[int, JobEnd] = {}
        live: list[Job] = []
        gone: list[int] = []
        stuck: list[int] = []
        for task, runs in enumerate(wave.jobs):
            job = queued.get(task)
            if task in wave.ends or (job is not None and job.id == _leaving()):
                continue
            if job is not None and job.state in ENDED:
                ends[task] = JobEnd(id=job.id, state=job.state, node=job.node, time=time.time())
            elif job is not None:
                live.append(Job(runs=tuple(runs), id=job.id, state=job.state, reason=job.reason, node=job.node))
                stuck += [task] if live[-1].failed_to_launch else []
            elif self._may_show_later(wave, look):
                live.append(Job(runs=tuple(runs), id=wave.job_id(task)))
            else:
                gone.append(task)
        if self._record:
            self._waves.end(wave, {**self._departed(wave, gone), **ends})
            for task in stuck:
                self._release(wave, task, look)
        return live

    def _release(self, wave: Wave, task: int, look: Look) -> None:
        """Release a job that SLURM holds because a node could not start it: that node is out of service by now."""
        before = wave.releases.get(task, [])
        if len(before) >= MOST_RELEASES or (before and look.asked < before[-1] + _CLOCKS_DIFFER):
            return
        self._waves.release(wave, task)
        try:
            self._command(["scontrol", "release", wave.job_id(task)])
        except ClusterUnreachable:
            raise
        except Failure:
            return  # it stays held, and `Job.why` says what is left to do; or it has just been cancelled

    def _departed(self, wave: Wave, tasks: Sequence[int]) -> dict[int, JobEnd]:
        if not tasks:
            return {}
        if not wave.id:  # it never came to be
            self._waves.answer(wave, error="it never showed in the queue", refused=True)
            return {}
        known = self._queue.departed([wave.job_id(task) for task in tasks])
        return {task: known.get(wave.job_id(task), JobEnd(id=wave.job_id(task), time=time.time())) for task in tasks}

    def _may_show_later(self, wave: Wave, look: Look) -> bool:
        """Whether the queue's answer is too old, or the submission too uncertain, to know of the wave."""
        if wave.seen:
            return False
        if not wave.answered:
            return time.time() - wave.time < SETTLING_SECONDS
        return wave.answered + _CLOCKS_DIFFER >= look.asked


def _chunks(orders: Sequence[Order], most: int) -> Iterator[Sequence[Order]]:
    """Yield the orders in arrays: each asks for one size of memory, and none is larger than SLURM allows."""
    for factor in dict.fromkeys(order.memory_factor for order in orders):
        alike = [order for order in orders if order.memory_factor == factor]
        for begin in range(0, len(alike), most):
            yield alike[begin : begin + most]


def _leaving() -> str:
    """Return the job around this process if it has executed its runs, and only ticks the study before it ends."""
    if "DIFAIR_LEAVING" not in os.environ:
        return ""
    return f"{os.environ.get('SLURM_ARRAY_JOB_ID')}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
