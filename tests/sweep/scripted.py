"""SLURM as far as the engine asks it, answering from a test's script."""

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


class Site:
    """Answers as a SLURM site would, from a script of the test."""

    def __init__(self, root: Path, **profile_keys: object) -> None:
        self.root = root
        self.profile = Profile(name="test", executor="slurm", gres="gpu:1", poll_seconds=0, **profile_keys)  # type: ignore[arg-type]
        self.queue: dict[tuple[str, int], str] = {}
        self.accounts = ""
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

    def shows(self, *states: str, wave: int = 1) -> None:
        """Let squeue show the tasks of a wave in these states, `state: reason`; those with an empty one have left."""
        name = f"{self.cluster._prefix}{wave:04d}"
        self.queue = {key: state for key, state in self.queue.items() if key[0] != name}
        self.queue |= {(name, task): state for task, state in enumerate(states) if state}

    def __call__(self, words: Sequence[str]) -> str:
        self.asked.append(words[0])
        if words[0] == "squeue":
            lines = [
                f"4711_{task}|{task}|{state}|v100-1|{reason or 'None'}|{name}\n"
                for (name, task), shown in self.queue.items()
                for state, _, reason in [shown.partition(": ")]
            ]
            return "9|N/A|RUNNING|rtx-1|None|a job of another | study\n" + "".join(lines)
        if words[0] == "sacct":
            if not self.accounts:
                raise Failure("sacct failed: Slurm accounting storage is disabled")
            return self.accounts
        if self.refusal is not None:
            raise self.refusal
        if words[0] == "scontrol":
            assert words[1] == "release"
            self.released.append(words[2])
            return ""
        tasks = len(json.loads(Path(words[-1]).with_suffix(".json").read_text())["jobs"])
        if tasks > self.at_most:
            raise LimitReached("sbatch failed: AssocMaxSubmitJobLimit")
        return "4711\n"


def wave(site: Site, number: int = 1) -> Path:
    return site.root / "studies" / "mini" / "waves" / f"{number:04d}.json"
