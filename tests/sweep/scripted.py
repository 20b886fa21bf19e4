"""SLURM as far as the engine asks it: the model of tests/sites, whose jobs a test lets do what it likes."""

import json
from collections.abc import Sequence
from pathlib import Path

from difair_hpc.errors import Failure, LimitReached
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.jobs import Order
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.queue import Queue
from difair_hpc.sweep.site import SubmitLimits
from difair_hpc.sweep.slurm import SlurmCluster
from tests.sites.slurm import Job, Slurm, Task

LONG_AGO = float("-inf")
NOW = 0.0


class Site:
    """A site whose jobs are in the states that the test says."""

    def __init__(self, root: Path, **profile_keys: object) -> None:
        self.root = root
        self.profile = Profile(name="test", executor="slurm", gres="gpu:1", poll_seconds=0, **profile_keys)  # type: ignore[arg-type]
        self.slurm = Slurm(accounting=False, next_id=9)
        self.slurm.submit("", {"job-name": "a job of another | study"}, folder="/", environment={})
        self.slurm.next_id = 4711
        self.refusal: Failure | None = None
        self.at_most = 1000
        self.limits = SubmitLimits(max_array=1000, max_submit=None)
        self.asked: list[str] = []
        self.released: list[str] = []
        self.cluster = self.made_again()

    def made_again(self, *, record: bool = True) -> SlurmCluster:
        """Return the cluster of a new process."""
        self.cluster = SlurmCluster(
            self.root,
            "mini",
            self.profile,
            ExecutionSpec(threads=1),
            queue=Queue(self, max_age=0, cache=None),
            limits=lambda: self.limits,
            command=self,
            record=record,
        )
        return self.cluster

    def submit(self, *jobs: Sequence[str], **keys: float) -> None:
        self.cluster.submit([Order(runs=tuple(job), **keys) for job in jobs])  # type: ignore[arg-type]

    def runs(self) -> list[list[str]]:
        return [list(job.runs) for job in self.cluster.jobs()]

    def job(self, wave: int = 1) -> Job:
        """Return the job of a wave; where sbatch was never heard of it, SLURM took it all the same."""
        name = f"{self.cluster._prefix}{wave:04d}"
        known = next((job for job in self.slurm.jobs.values() if job.name == name), None)
        return known or self.slurm.submit("", {"job-name": name, "array": "0-9"}, folder="/", environment={})

    def shows(self, *states: str, wave: int = 1, node: str = "v100-1") -> None:
        """Let the tasks of a wave be in these states, `state: reason`; those with an empty one have left the queue."""
        job = self.job(wave)
        for number in range(len(job.tasks)):
            state, _, reason = (states[number] if number < len(states) else "").partition(": ")
            gone = Task(state="COMPLETED", node=node, ended=LONG_AGO)
            job.tasks[number] = Task(state=state, reason=reason or "None", node=node, ended=NOW) if state else gone

    def left(self, *states: str, wave: int = 1, node: str = "v100-1") -> None:
        """Let the tasks of a wave have left the queue, in the states that accounting tells."""
        self.slurm.accounting = True
        for number, state in enumerate(states):
            self.job(wave).tasks[number] = Task(state=state, node=node, ended=LONG_AGO)

    def __call__(self, words: Sequence[str]) -> str:
        self.asked.append(words[0])
        if words[0] == "squeue":
            return self.slurm.squeue(words[1:], now=NOW)
        if words[0] == "sacct":
            return self._accounts(words[1:])
        if self.refusal is not None:
            raise self.refusal
        if words[0] == "scontrol":
            assert words[1] == "release"
            self.released.append(words[2])
            return ""
        script = Path(words[-1])
        if len(json.loads(script.with_suffix(".json").read_text())["jobs"]) > self.at_most:
            raise LimitReached("sbatch failed: AssocMaxSubmitJobLimit")
        job = self.slurm.submit(script.read_text(), {}, folder=str(self.root), environment={})
        return f"{job.id}\n"

    def _accounts(self, words: Sequence[str]) -> str:
        if not self.slurm.accounting:
            raise Failure("sacct failed: Slurm accounting storage is disabled")
        return self.slurm.sacct(words)


def wave(site: Site, number: int = 1) -> Path:
    return site.root / "studies" / "mini" / "waves" / f"{number:04d}.json"
