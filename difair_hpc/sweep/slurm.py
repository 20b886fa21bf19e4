"""Runs as SLURM jobs: one array per wave, rendered and submitted by submitit, found again by its name.

A wave is put on disk before sbatch (`waves/0007.json`) and its job is named after it. So a job that SLURM accepted
while sbatch reported a failure, or while this process died, is recognised in the queue. Whether jobs live is asked of
one squeue call for all of the user's jobs, never of a job's own files.
"""

import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.errors import Failure
from difair_hpc.files import read_json, write_atomically, write_once
from difair_hpc.runs.spec import ExecutionSpec, plain
from difair_hpc.sweep.commands import Command, run_command
from difair_hpc.sweep.spec import Profile

ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT",
}  # fmt: skip
"""States of a job that never runs again; a state that is not listed, a new one too, counts as alive."""

SETTLING_SECONDS = 90.0
"""Time that an accepted job may take to show in the queue when nobody knows whether sbatch succeeded."""

_FORMAT = "%j|%K|%T|%r|%N"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedJob:
    """One line of squeue: a job, or one task of an array."""

    name: str
    task: int
    state: str
    reason: str
    node: str


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
        again: Sequence[str] | None = None,
        command: Command | None = None,
        program: Sequence[str] = (sys.executable, "-m", "difair_hpc.runs.job"),
    ) -> None:
        """Prepare to submit.

        Args:
            root: Output root on a file system that all nodes share.
            study: Name of the study; its waves are kept in its folder.
            profile: Where jobs go and what they ask for.
            execution: How each run is executed.
            again: Words of `difair` with which each job, as it ends, lets the study go on; None: it does not.
            command: Runs a SLURM command and returns what it printed; for tests of what stands before SLURM.
            program: What a job executes: the words before output root and wave.
        """
        self._root = root.absolute()
        self._study = study
        self._profile = profile
        self._execution = plain(execution)
        self._waves = self._root / "studies" / study / "waves"
        self._again = None if again is None else list(again)
        self._command = command or run_command
        self._program = list(program)
        self._prefix = f"difair-{study}-{hashlib.sha256(str(self._root).encode()).hexdigest()[:6]}-"
        self._queue: list[QueuedJob] = []
        self._asked = 0.0

    def submit(self, jobs: Sequence[Sequence[str]]) -> None:
        """Submit one array whose tasks execute the lists of runs.

        Raises:
            Failure: sbatch refused; its message is passed on.
            ClusterUnreachable: SLURM did not answer, or will take jobs later (a limit on submitted jobs).
        """
        self._waves.mkdir(parents=True, exist_ok=True)
        (self._root / "jobs").mkdir(exist_ok=True)
        number = 1 + max((int(path.stem) for path in self._waves.glob("????.json")), default=0)
        wave = self._waves / f"{number:04d}.json"
        content = {
            "jobs": [list(job) for job in jobs],
            "execution": self._execution,
            "time": time.time(),
            "again": self._again,
            "folder": str(Path.cwd()),
        }
        assert write_once(wave, json.dumps(content)), "the holder of the study's lease alone makes waves"
        script = self._waves / f"{number:04d}.sbatch"
        write_atomically(script, self.script(wave, len(jobs)))
        try:
            answer = self._command(["sbatch", "--parsable", str(script)])
        except Failure as error:
            write_atomically(wave.with_suffix(".answer.json"), json.dumps({"time": time.time(), "error": str(error)}))
            raise
        write_atomically(wave.with_suffix(".answer.json"), json.dumps({"time": time.time(), "id": answer.strip()}))

    def script(self, wave: Path, tasks: int) -> str:
        """Return the sbatch script of a wave, as submitit renders it."""
        from submitit.slurm.slurm import _make_sbatch_string

        profile = self._profile
        words = [*self._program, str(self._root), str(wave)]
        asked: dict[str, Any] = {
            "job_name": self._prefix + wave.stem,
            "partition": profile.partition,
            "account": profile.account,
            "qos": profile.qos,
            "gres": profile.gres,
            "constraint": profile.constraint,
            "time": profile.minutes,
            "mem": None if profile.mem_gb is None else f"{profile.mem_gb}GB",
            "cpus_per_task": profile.threads,
            "signal_delay_s": profile.notice_seconds,
            "array_parallelism": tasks,
            "map_count": tasks,
            "setup": list(profile.setup) or None,
            "additional_parameters": {"requeue": True, **profile.sbatch},
        }
        text: str = _make_sbatch_string(command=shlex.join(words), folder=self._root / "jobs", **asked)
        return text

    def jobs(self) -> Collection[Collection[str]]:
        """Return for each job that has not ended the signatures of its runs.

        Raises:
            ClusterUnreachable: SLURM does not answer.
        """
        if time.time() - self._asked >= self._profile.poll_seconds:
            self._queue = parse_queue(self._command(["squeue", "--me", "-h", "-r", "-t", "all", "-o", _FORMAT]))
            self._asked = time.time()
        alive = {(job.name, job.task) for job in self._queue if job.state not in ENDED} - {_leaving()}
        found: list[Collection[str]] = []
        for path in sorted(self._waves.glob("????.json")):
            wave = read_json(path)
            if wave is None:
                continue
            name = self._prefix + path.stem
            unseen = self._may_not_show_yet(path, wave)
            found += [job for task, job in enumerate(wave["jobs"]) if unseen or (name, task) in alive]
        return found

    def stop(self) -> None:
        """Leave the jobs alone: they go on without this command."""

    def last_words(self, signature: str) -> str:
        """Return the end of the newest log of a job that was to execute the run."""
        for path in sorted(self._waves.glob("????.json"), reverse=True):
            wave, answer = read_json(path) or {"jobs": []}, read_json(path.with_suffix(".answer.json")) or {}
            for task, job in enumerate(wave["jobs"]):
                log = self._root / "jobs" / f"{answer.get('id', '')}_{task}_0_log.err"
                if signature in job and log.exists():
                    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
        return ""

    def _may_not_show_yet(self, path: Path, wave: dict[str, Any]) -> bool:
        """Whether the last squeue is too old to know of the wave."""
        answer = read_json(path.with_suffix(".answer.json"))
        if answer is None or "error" in answer:
            return time.time() - float(wave["time"]) < SETTLING_SECONDS and not self._seen(path)
        return float(answer["time"]) >= self._asked

    def _seen(self, path: Path) -> bool:
        return any(job.name == self._prefix + path.stem for job in self._queue)


def _leaving() -> tuple[str, int]:
    """Return the job around this process, if it has executed its runs and only ticks the study before it ends."""
    if "DIFAIR_LEAVING" not in os.environ:
        return "", 0
    return os.environ.get("SLURM_JOB_NAME", ""), int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs of squeue's lines `name|task|state|reason|nodes`; a job without tasks is task 0."""
    jobs = []
    for line in text.splitlines():
        name, task, state, reason, node = line.strip().split("|")
        jobs.append(
            QueuedJob(name=name, task=int(task) if task.isdigit() else 0, state=state, reason=reason, node=node)
        )
    return jobs
