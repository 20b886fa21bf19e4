"""The testbed is a real SLURM: GPUs, queueing, preemption, requeue, lost nodes, time limits and lost daemons."""

import os
import re
import signal
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.testbed.cluster import CONF, TESTBED, Cluster
from tests.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if not CONF or not (Path(CONF).parents[1] / ".difair-testbed").exists():
        pytest.fail(f"SLURM_CONF={CONF!r} is not a testbed: make testbed, then read the env file that it names")
    cluster = Cluster(folder=tmp_path, name=f"test-{uuid.uuid4().hex[:8]}")
    yield cluster
    cluster.restore()


def test_each_gpu_type_is_given_and_either_by_constraint(cluster: Cluster) -> None:
    script = "echo $SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES; sleep 1"
    v100 = cluster.submit(script, "--gres=gpu:v100:1")
    rtx6000 = cluster.submit(script, "--gres=gpu:rtx6000:1")
    both = cluster.submit(script, "--gres=gpu:v100:2")
    either = cluster.submit(script, "--gres=gpu:1", "--constraint=v100|rtx6000")
    without = cluster.submit(script)

    cluster.wait("COMPLETED", v100, rtx6000, both, either, without)
    assert re.fullmatch(r"v100-[12]:[01]", cluster.log(v100).strip())
    assert re.fullmatch(r"rtx-[12]:[01]", cluster.log(rtx6000).strip())
    assert re.fullmatch(r"v100-[12]:0,1", cluster.log(both).strip())
    assert re.fullmatch(r"(v100|rtx)-[12]:[01]", cluster.log(either).strip())
    assert re.fullmatch(r"(v100|rtx)-[12]:", cluster.log(without).strip())


def test_what_does_not_exist_is_refused(cluster: Cluster) -> None:
    command = ("sbatch", "--wrap", "true")
    assert "Requested node configuration" in cluster.ask(*command, "--gres=gpu:a100:1", check=False)
    assert "Invalid feature" in cluster.ask(*command, "--constraint=a100", check=False)
    assert "Invalid job array" in cluster.ask(*command, "--array=0-101", check=False)


def test_eight_jobs_run_and_the_ninth_waits_for_a_gpu(cluster: Cluster) -> None:
    eight = [cluster.submit_gated("--gres=gpu:1") for _ in range(8)]
    cluster.wait("RUNNING", *eight)
    ninth = cluster.submit_gated("--gres=gpu:1")
    wait_for("the ninth waits", lambda: cluster.reason(ninth) == "Resources", seen=cluster.describe)

    cluster.ask("scancel", eight[0])
    cluster.wait("RUNNING", ninth)
    cluster.open_gate()
    cluster.wait("COMPLETED", *eight[1:], ninth)


def test_an_array_runs_as_many_tasks_at_once_as_it_allows(cluster: Cluster) -> None:
    array = cluster.submit_gated("--gres=gpu:1", "--array=0-4%2")
    wait_for("the rest waits", lambda: cluster.reason(array) == "JobArrayTaskLimit", seen=cluster.describe)
    assert sorted(cluster.states(array)) == ["PENDING"] * 3 + ["RUNNING"] * 2

    cluster.open_gate()
    wait_for(
        "all five are done",
        lambda: cluster.states(array) == ["COMPLETED"] * 5,
        seen=cluster.describe,
    )


@pytest.mark.heavy("testbed")
def test_an_urgent_job_preempts_one_which_runs_again(cluster: Cluster) -> None:
    low = [cluster.submit_gated("--gres=gpu:1") for _ in range(8)]
    cluster.wait("RUNNING", *low)
    urgent = cluster.submit_gated("--gres=gpu:1", "--partition=urgent")
    cluster.wait("RUNNING", urgent)

    (victim,) = [job for job, state in zip(low, cluster.states(*low), strict=True) if state != "RUNNING"]
    wait_for("sacct says PREEMPTED", lambda: "PREEMPTED" in cluster.accounted(victim), seen=cluster.describe)
    cluster.open_gate()
    cluster.wait("COMPLETED", *low, urgent)
    assert re.findall("attempt .", cluster.log(victim)) == ["attempt 0", "attempt 1"]
    assert "DUE TO PREEMPTION" in cluster.log(victim)
    cluster.wait_accounted(victim, ["PREEMPTED", "COMPLETED"])


@pytest.mark.heavy("testbed")
def test_a_requeued_job_runs_again_soon(cluster: Cluster) -> None:
    """SLURM holds it back for 120 seconds, unless its munge is told otherwise, as the testbed's is."""
    job = cluster.submit_gated("--gres=gpu:v100:1")
    cluster.wait("RUNNING", job)
    cluster.ask("scontrol", "requeue", job)
    wait_for("a second attempt", lambda: "attempt 1" in cluster.log(job), seen=cluster.describe)

    cluster.open_gate()
    cluster.wait("COMPLETED", job)
    cluster.wait_accounted(job, ["REQUEUED", "COMPLETED"])
    first, second = cluster.ask("sacct", "-n", "-X", "-P", "--duplicates", "-j", job, "-o", "End,Eligible").splitlines()
    ended, eligible = (datetime.fromisoformat(text) for text in (first.split("|")[0], second.split("|")[1]))
    assert eligible - ended < timedelta(seconds=100), "as SLURM itself decided, however busy the machine is"


@pytest.mark.heavy("testbed")
def test_a_node_set_down_fails_its_job_which_runs_again(cluster: Cluster) -> None:
    job = cluster.submit_gated("--gres=gpu:rtx6000:1")
    cluster.wait("RUNNING", job)
    cluster.ask("scontrol", "update", f"nodename={cluster.node_of(job)}", "state=down", "reason=test")
    wait_for("a second attempt", lambda: "attempt 1" in cluster.log(job), seen=cluster.describe)

    cluster.open_gate()
    cluster.wait("COMPLETED", job)
    cluster.wait_accounted(job, ["NODE_FAIL", "COMPLETED"])


@pytest.mark.heavy("testbed")
def test_a_dead_slurmd_leaves_the_first_attempt_alive_beside_the_second(cluster: Cluster) -> None:
    script = "while :; do echo $SLURMD_NODENAME >>beats; [ ! -e gate ] || exit 0; sleep 0.3; done"
    job = cluster.submit(script, "--gres=gpu:v100:1")
    cluster.wait("RUNNING", job)
    lost = cluster.node_of(job)
    cluster.control("kill", lost)

    def beats() -> list[str]:
        return (cluster.folder / "beats").read_text().split()

    wait_for("a second attempt", lambda: len(set(beats())) == 2, seen=cluster.describe_nodes)
    before = len(beats())
    wait_for("both beat", lambda: len(set(beats()[before:])) == 2, seen=beats)
    cluster.open_gate()
    cluster.wait("COMPLETED", job)
    cluster.wait_accounted(job, ["NODE_FAIL", "COMPLETED"])


@pytest.mark.heavy("testbed")
def test_the_time_limit_ends_a_job_after_its_warning(cluster: Cluster) -> None:
    script = "trap 'echo warned' USR2; echo ready; while :; do sleep 0.2; done"
    job = cluster.submit(script, "--time=1", "--signal=B:USR2@45", "--no-requeue")
    wait_for("the signal", lambda: "warned" in cluster.log(job), seen=cluster.describe)
    assert cluster.states(job) == ["RUNNING"]
    cluster.wait("TIMEOUT", job)
    assert cluster.log(job).startswith("ready\nwarned\n")
    cluster.wait_accounted(job, ["TIMEOUT"])


def test_a_limit_of_submitted_jobs_can_be_set(cluster: Cluster) -> None:
    limit = ("sacctmgr", "--immediate", "modify", "user", "root", "set")
    cluster.ask(*limit, "MaxSubmitJobs=2")
    try:
        cluster.submit_gated("--array=0-1")
        assert "AssocMaxSubmitJobLimit" in cluster.ask("sbatch", "--wrap", "true", check=False)
    finally:
        cluster.ask(*limit, "MaxSubmitJobs=-1")
    cluster.submit_gated()


@pytest.mark.heavy("testbed")
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_no_job_is_lost_with_the_controller(cluster: Cluster, way: str) -> None:
    running = cluster.submit_gated("--gres=gpu:1")
    cluster.wait("RUNNING", running)
    waiting = cluster.submit_gated("--gres=gpu:1", "--hold", f"--comment=held-{cluster.name}")
    if way == "kill":  # what it has not saved yet dies with it, on any SLURM
        wait_for("saved", lambda: cluster.is_saved(f"held-{cluster.name}"), seen=lambda: "the state of before")
    cluster.control(way, "slurmctld")
    assert "slurmctld  does not run" in cluster.control("list")
    assert "Unable to contact slurm controller" in cluster.ask("squeue", check=False)
    cluster.open_gate()  # the first job ends while nobody listens

    cluster.control("start", "slurmctld")
    assert cluster.states(waiting) == ["PENDING"]
    cluster.ask("scontrol", "release", waiting)
    cluster.wait("COMPLETED", running, waiting)
    cluster.wait_accounted(running, ["COMPLETED"])


@pytest.mark.heavy("testbed")
def test_a_controller_that_crashes_is_started_again(cluster: Cluster) -> None:
    """SLURM 22.05 does crash, now and then, when a node is lost and comes back; a site's systemd starts it again."""

    def controller() -> str | None:
        found = re.search(r"^slurmctld +runs \(pid (\d+)\)", cluster.control("list"), re.MULTILINE)
        return None if found is None else found[1]

    before = controller()
    assert before is not None
    job = cluster.submit("true", "--hold", f"--comment=held-{cluster.name}")
    wait_for("saved", lambda: cluster.is_saved(f"held-{cluster.name}"), seen=lambda: "the state of before")
    os.kill(int(before), signal.SIGSEGV)
    wait_for("another process", lambda: controller() not in (None, before), seen=controller)
    wait_for("it answers", lambda: "is UP" in cluster.ask("scontrol", "ping", check=False), seen=controller)
    cluster.ask("scontrol", "release", job)
    cluster.wait("COMPLETED", job)


@pytest.mark.heavy("testbed")
def test_accounting_comes_back_with_its_daemon(cluster: Cluster) -> None:
    cluster.control("stop", "slurmdbd")
    assert "onnection refused" in cluster.ask("sacct", check=False)
    job = cluster.submit("true")
    cluster.wait("COMPLETED", job)
    cluster.control("start", "slurmdbd")
    cluster.wait_accounted(job, ["COMPLETED"])


@pytest.mark.heavy("testbed")
def test_up_again_changes_nothing(cluster: Cluster) -> None:
    before = cluster.control("list")
    assert "already up" in cluster.ask(str(TESTBED / "up"))
    assert cluster.control("list") == before
