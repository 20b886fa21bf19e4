"""A study on a real SLURM under its user's hands and its site's limits."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import short
from tests.testbed.study import LASTING, Study, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


def rows(study: Study, *words: str) -> list[dict[str, object]]:
    out = study.said("status", "root=o", "-f", "json", *words)
    found: list[dict[str, object]] = json.loads(out)
    return found


def queued(study: Study) -> dict[str, str]:
    """Return the study's jobs in the queue: id to reason."""
    lines = study.bed.ask("squeue", "-h", "-r", "-o", "%j|%i|%r").splitlines()
    split = [line.split("|") for line in lines]
    return {job: reason for name, job, reason in split if name.startswith("difair-mini-")}


def test_hold_release_cancel_scancel_and_resume(study: Study) -> None:
    one_at_a_time = {"gres": "gpu:v100:2", "constraint": None, "sbatch": {"nodelist": "v100-1"}}
    study.write(short.search(99, "[2, 4, 6]"), **LASTING, minutes=30, **one_at_a_time)
    study.said("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none", "--detach")
    study.wait("one at work", lambda: study.at_work("o") == 1)
    states = {str(row["state"]): row for row in rows(study)}
    assert set(states) == {"running", "queued"}
    assert states["running"]["node"] == "v100-1"
    waiting = [row for row in rows(study) if row["state"] == "queued"]
    assert {row["note"] for row in waiting} <= {
        "it is next, and waits for a free GPU",
        "jobs of higher priority are before it",
    }

    first, second = waiting
    study.said("hold", str(first["job"]), "root=o")
    assert queued(study)[str(first["job"])] == "JobHeldUser"
    assert [row["signature"] for row in rows(study, "state=held")] == [first["signature"]]
    study.said("release", str(first["signature"]), "root=o")
    assert queued(study)[str(first["job"])] != "JobHeldUser"

    study.said("cancel", str(second["index"]), "root=o")
    assert str(second["job"]) not in queued(study)

    study.bed.ask("scancel", str(states["running"]["job"]))
    study.wait("it saved and left", lambda: study.kinds("o")["cancelled"] == 1 or not study.at_work("o"))
    study.wait("the next at work", lambda: study.at_work("o") == 1)
    study.said("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none", "--tick")
    (held,) = rows(study, "state=held")
    assert held["signature"] == states["running"]["signature"]
    assert "held by scancel" in study.said("why", str(held["signature"]), "root=o")

    out = study.said("resume", "mini", "root=o")
    assert str(held["signature"]) in out
    assert str(second["signature"]) in out
    assert {str(row["state"]) for row in rows(study)} == {"running", "queued"}
    assert len(queued(study)) == 3
    assert "run " in study.said("logs", str(held["signature"]), "root=o")


def test_a_site_that_takes_two_jobs_gets_two_at_a_time(study: Study) -> None:
    study.write(short.search(2, "[2, 4, 6, 8, 10]"), **LASTING)
    limit = ("sacctmgr", "--immediate", "modify", "user", "root", "set")
    study.bed.ask(*limit, "MaxSubmitJobs=2")
    try:
        out = study.said("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none")
    finally:
        study.bed.ask(*limit, "MaxSubmitJobs=-1")
    assert "the site lets you have 2 jobs" in out
    assert len(study.results("o")) == 5
    waves = [json.loads(path.read_text()) for path in (study.bed.folder / "o/studies/mini/waves").glob("????.json")]
    assert max(len(wave["jobs"]) for wave in waves) <= 2
    submitted = [run for wave in waves for job in wave["jobs"] for run in job]
    assert len(submitted) == len(set(submitted)) == 5, "no run was submitted twice"


def test_several_runs_share_a_job(study: Study) -> None:
    study.write(short.study(2), runs_per_gpu=2)
    study.said("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none")
    wave = json.loads((study.bed.folder / "o/studies/mini/waves/0001.json").read_text())
    assert [len(job) for job in wave["jobs"]] == [2]
    records = (study.bed.folder / "o").glob("runs/*/attempts/0001.json")
    jobs = [json.loads(path.read_text())["place"]["job"] for path in records]
    assert len(set(jobs)) == 2, "the two of the search share one, the last has its own"
    assert len(study.results("o")) == 3


def test_a_run_that_is_out_of_memory_gets_more(study: Study) -> None:
    study.write(short.search(2, "[6]"), mem_gb=0.35, memory_growth=2.0)
    study.said("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none", "cluster.retries.out_of_memory=3")
    scripts = sorted((study.bed.folder / "o/studies/mini/waves").glob("*.sbatch"))
    asked = [line for path in scripts for line in path.read_text().splitlines() if line.startswith("#SBATCH --mem")]
    assert asked[:2] == ["#SBATCH --mem=358M", "#SBATCH --mem=717M"]
    assert len(study.results("o")) == 1
    out = study.said("status", "root=o")
    assert "1 done" in out


PTRACE_ATTACH, PTRACE_DETACH = 16, 17


@contextmanager
def frozen(process: int) -> Iterator[Callable[[], None]]:
    """Hold a process so that no signal but SIGKILL reaches it: SLURM continues what was only stopped, and then ends it.

    Yields what to call again and again: a held process that was killed is gone once its holder has seen that.
    """
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    assert ptrace(PTRACE_ATTACH, process, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(process, 0)

    def let_die() -> None:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)

    try:
        yield let_die
    finally:
        ptrace(PTRACE_DETACH, process, None, None)


def test_a_job_that_its_node_cannot_start_is_released(study: Study) -> None:
    """A node that comes back before SLURM has cleared it of a job refuses that job as its own duplicate."""
    study.write(short.search(5, "[6]"), **LASTING, sbatch={"nodelist": "v100-1"}, constraint=None)
    sweep = study.start("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none")
    study.wait("one at work", lambda: max(study.epochs("o").values(), default=0) >= 1)
    (record,) = (study.bed.folder / "o").glob("runs/*/attempts/0001.json")
    with frozen(json.loads(record.read_text())["pid"]) as let_die:

        def held() -> bool:
            let_die()
            return "launch failed requeued held" in queued(study).values()

        study.bed.ask("scontrol", "update", "nodename=v100-1", "state=down", "reason=test")
        study.wait("it is held", held)
    study.wait("the node is drained", lambda: study.bed.nodes("drain") == ["v100-1"])
    study.bed.ask("scontrol", "update", "nodename=v100-1", "state=resume")

    sweep.said()
    study.check_results("o", 1)
    assert study.kinds("o") == {"node_failed": 1}
    assert list((study.bed.folder / "o/studies/mini/waves").glob("*.releases.json"))
