"""The model of SLURM in tests/sites answers as the testbed's SLURM does."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sites.slurm import Refused, Slurm
from tests.testbed.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SCRIPT = "#!/bin/bash\n#SBATCH --array=0-2%3\n#SBATCH --output=%A_%a.log\nuntil [ -e gate ]; do sleep 0.2; done\n"
SQUEUE = ("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%K|%T|%N|%r|%j")
SACCT = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,NodeList")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(folder=tmp_path, name=f"model-{uuid.uuid4().hex[:8]}")
    yield found
    found.ask("scancel", f"--name={found.name}")


def alike(text: str, job: str) -> list[str]:
    """Return the lines in their order, without the number of the job and with one name for every node."""
    own = [line.removeprefix(job) for line in text.splitlines() if re.match(rf"{job}[_|]", line)]
    return sorted(re.sub(r"\|(v100|rtx|n)-?\d+\b", "|NODE", line) for line in own)


def test_queue_and_accounts_of_an_array_from_its_submission_to_its_end(cluster: Cluster) -> None:
    model = Slurm(nodes=["n1", "n2", "n3"], uid=os.getuid())
    held = model.submit(SCRIPT, {"job-name": cluster.name}, folder="/", environment={})
    job = cluster.submit(SCRIPT.partition("\n")[2], "--array=0-2%3")

    def same(*, accounts: bool) -> None:
        now = time.time()
        assert alike(cluster.ask(*SQUEUE), job) == alike(model.squeue(SQUEUE[1:], now=now), str(held.id))
        if accounts:
            words = [*SACCT, "-j", job]
            assert alike(cluster.ask(*words), job) == alike(model.sacct([*words[1:-1], str(held.id)]), str(held.id))

    assert [number for _, number in model.due()] == [0, 1, 2]
    cluster.wait("RUNNING", job)
    same(accounts=False)
    cluster.ask("scancel", f"{job}_1")
    model.end(held.id, 1, "CANCELLED", now=time.time())
    cluster.open_gate()
    for number in (0, 2):
        model.end(held.id, number, "COMPLETED", now=time.time())
    cluster.wait_accounted(job, ["COMPLETED", "CANCELLED", "COMPLETED"])
    same(accounts=True)


def test_what_is_refused_is_refused_in_the_same_words(cluster: Cluster) -> None:
    (cluster.folder / "job.sh").write_text(SCRIPT)
    for option in ("--partition=nowhere", "--array=0-99999"):
        name, _, value = option[2:].partition("=")
        with pytest.raises(Refused) as refused:
            Slurm().submit(SCRIPT, {name: value}, folder="/", environment={})
        assert cluster.ask("sbatch", option, "job.sh", check=False).strip() == str(refused.value).strip()


def test_an_environment_that_is_kept_out_of_a_job_is_kept_out_of_its_steps_unless_they_ask_for_it(
    cluster: Cluster,
) -> None:
    """The model does the same: tests/sites/front.py; submitit's step is told to ask for it."""
    script = "export KEPT=1\nsrun env >step.txt\nsrun --export=ALL env >asked.txt"
    job = cluster.submit(script, "--export=NONE")
    cluster.wait_accounted(job, ["COMPLETED"])
    assert "KEPT=1" not in (cluster.folder / "step.txt").read_text().splitlines()
    assert "KEPT=1" in (cluster.folder / "asked.txt").read_text().splitlines()
