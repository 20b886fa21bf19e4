"""A view of the testbed's SLURM for tests: submit, ask for states, wait with a deadline, break a daemon."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import HANG_SECONDS, wait_for

TESTBED = Path(__file__).parents[2] / "slurm" / "testbed"
CONF = os.environ.get("SLURM_CONF", "")
"""Read on import, since the tests' own environment is cleaned of the user's SLURM settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The cluster that SLURM_CONF names, and one folder and one job name for what a test submits to it."""

    folder: Path
    name: str

    def ask(self, *command: str, check: bool = True) -> str:
        """Run a command on the cluster and return what it prints; with check=False also what it complains of."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
        environment |= {"SLURM_CONF": CONF, "DIFAIR_TESTBED": str(Path(CONF).parents[1])}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=HANG_SECONDS
        )
        if not check:
            return done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, script: str, *options: str) -> str:
        """Submit the text as a batch job, which logs to <job>.log, and return its number."""
        path = self.folder / "job.sh"
        path.write_text(f"#!/bin/bash\n{script}\n")
        command = ["sbatch", "--parsable", f"--job-name={self.name}", "--output=%A_%a.log", "--open-mode=append"]
        return self.ask(*command, *options, str(path))

    def submit_gated(self, *options: str) -> str:
        """Submit a job that writes a line and then runs until `open_gate`."""
        return self.submit("echo attempt ${SLURM_RESTART_COUNT:-0}\nuntil [ -e gate ]; do sleep 0.2; done", *options)

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def log(self, job: str) -> str:
        """Return what the job has printed so far, in all its attempts."""
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"{job}_*.log")))

    def states(self, *jobs: str) -> list[str]:
        """Return the state of each job, each task of an array counting as one, in the order of their numbers."""
        listed = self.ask("squeue", "-h", "-r", "--states=all", f"--jobs={','.join(jobs)}", "--sort=i", "-o", "%T")
        return listed.split()

    def wait(self, state: str, *jobs: str) -> None:
        """Wait until all of the jobs are in the state."""
        wait_for(f"{jobs} {state}", lambda: set(self.states(*jobs)) == {state}, seen=self.describe)

    def describe(self) -> str:
        return self.ask("squeue", "--states=all", f"--name={self.name}", "-o", "%i %P %T %r %N", check=False)

    def accounted(self, job: str) -> list[str]:
        """Return the states that accounting holds of a job, one per attempt, oldest first."""
        lines = self.ask("sacct", "-n", "-X", "-P", "--duplicates", "-j", job, "-o", "State").splitlines()
        return [line.split()[0] for line in lines]

    def wait_accounted(self, job: str, states: list[str]) -> None:
        wait_for(
            f"sacct of {job} is {states}",
            lambda: self.accounted(job) == states,
            seen=lambda: (self.accounted(job), self.describe()),
        )

    def node_of(self, job: str) -> str:
        return self.ask("squeue", "-h", f"--jobs={job}", "-o", "%N")

    def reason(self, job: str) -> str:
        """Return why the job waits; of an array, why its waiting tasks do."""
        return self.ask("squeue", "-h", "--states=PENDING", f"--jobs={job}", "-o", "%r")

    def is_saved(self, words: str) -> bool:
        """Say whether the controller has written a job with these words in it to its disk, which it does every 5 s."""
        return words.encode() in (Path(CONF).parents[1] / "slurmctld" / "job_state").read_bytes()

    def control(self, *arguments: str) -> str:
        """Stop, kill or start a daemon of the testbed."""
        return self.ask(str(TESTBED / "control"), *arguments)

    def restore(self) -> None:
        """Cancel what the test has left, start what it has stopped, and wait until every node is idle again."""
        for daemon in re.findall(r"^(\S+) +does not run", self.control("list"), re.MULTILINE):
            self.control("start", daemon)
        self.ask("scancel", f"--name={self.name}")
        for node in self.nodes("down", "drain"):
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        wait_for("four idle nodes", lambda: len(self.nodes("idle")) == 4, seen=self.describe_nodes)
        if re.search(r"GresUsed=\S*:[1-9]", self.ask("scontrol", "show", "node", "-d")):
            self.control("stop", "slurmctld")  # SLURM 22.05 loses count of a GPU when a job is requeued as it starts
            self.control("start", "slurmctld")
            wait_for("four idle nodes", lambda: len(self.nodes("idle")) == 4, seen=self.describe_nodes)

    def nodes(self, *states: str) -> list[str]:
        listed = [line.split() for line in self.describe_nodes().splitlines()]
        return sorted({node for node, state in listed if state.rstrip("*") in states})

    def describe_nodes(self) -> str:
        return self.ask("sinfo", "-h", "-N", "-o", "%N %t")
