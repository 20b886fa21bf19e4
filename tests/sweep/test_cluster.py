"""One behaviour of everything that executes runs: in memory, as real processes, and as jobs of a real SLURM."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.cluster import Cluster, LocalCluster, MemoryCluster
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.jobs import Order
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.queue import Queue
from difair_hpc.sweep.site import SubmitLimits, submit_limits
from difair_hpc.sweep.slurm import SlurmCluster
from tests.sweep.made import finish
from tests.waiting import eventually

TINY = {"benchmark": "digits", "protocol": "short", "protocol.epochs": 1, "protocol.warmup_epochs": 0}
EXECUTION = ExecutionSpec(device="cpu", threads=1)


def until(condition: Callable[[], object]) -> None:
    assert eventually(condition), "it hangs"


def created(root: Path, **keys: object) -> str:
    spec = build_run(TINY, keys)
    run_folder(root, spec.signature).create(spec)
    return spec.signature


class Bench:
    """A cluster under test, and how to let it work."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.root = root

    def work(self) -> None:
        if isinstance(self.cluster, MemoryCluster):
            self.cluster.work()
        until(lambda: not self.cluster.jobs())

    def stop(self) -> None:
        """End the jobs; those of SLURM go on without the command that submitted them, and only SLURM ends them."""
        if isinstance(self.cluster, SlurmCluster) and (jobs := self.cluster.jobs()):
            run_command(["scancel", *(job.id for job in jobs)])
        self.cluster.stop()


SITE = Profile(name="bed", executor="slurm", gres="gpu:1", mem_gb=4, threads=1, device="cpu", minutes=10)


def on_slurm(root: Path) -> SlurmCluster:
    queue = Queue(run_command, max_age=1.0, cache=None)
    return SlurmCluster(root, "mini", SITE, EXECUTION, queue=queue, limits=SubmitLimits)


@pytest.fixture(
    params=[
        "memory",
        pytest.param("local", marks=pytest.mark.slow),
        pytest.param("slurm", marks=[pytest.mark.slow, pytest.mark.slurm]),
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made: dict[str, Callable[[], Cluster]] = {
        "memory": lambda: MemoryCluster(lambda signature: finish(tmp_path, signature)),
        "local": lambda: LocalCluster(tmp_path, EXECUTION),
        "slurm": lambda: on_slurm(tmp_path),
    }
    bench = Bench(made[request.param](), tmp_path)
    yield bench
    bench.stop()
    until(lambda: not bench.cluster.jobs())


class TestCluster:
    def test_a_submitted_run_is_a_job_until_it_has_its_result(self, bench: Bench) -> None:
        signature = created(bench.root)
        assert list(bench.cluster.jobs()) == []
        assert bench.cluster.last_words(signature) == ""
        bench.cluster.submit([Order(runs=(signature,))])
        assert [job.runs for job in bench.cluster.jobs()] == [(signature,)]
        bench.work()
        assert run_folder(bench.root, signature).state().status == "done"

    def test_a_job_that_ends_without_beginning_its_run_is_remembered(self, bench: Bench) -> None:
        signature = created(bench.root, **{"protocol.epochs": 500})
        if isinstance(bench.cluster, MemoryCluster):
            bench.cluster._execute = lambda _: None
        else:
            (run_folder(bench.root, signature).path / "spec.json").write_text("{torn")
        bench.cluster.submit([Order(runs=(signature,), begun=0)])
        assert bench.cluster.past(signature) == []
        bench.work()
        assert [end.begun for end in bench.cluster.past(signature)] == [0]

    def test_jobs_that_list_the_same_runs_execute_each_once(self, bench: Bench) -> None:
        runs = [created(bench.root, seed=seed) for seed in range(3)]
        bench.cluster.submit([Order(runs=tuple(runs)), Order(runs=(*runs[1:], runs[0]))])
        bench.work()
        states = [run_folder(bench.root, signature).state() for signature in runs]
        assert [(state.status, state.attempts) for state in states] == [("done", 1)] * 3

    def test_jobs_that_are_stopped_leave_without_a_result(self, bench: Bench) -> None:
        signature = created(bench.root, **{"protocol.epochs": 500})
        folder = run_folder(bench.root, signature)
        bench.cluster.submit([Order(runs=(signature,))])
        real = not isinstance(bench.cluster, MemoryCluster)
        if real:
            until(lambda: folder.state().step)
        bench.stop()
        until(lambda: not bench.cluster.jobs())
        assert folder.state().status in ("new", "stopped")
        if real:
            assert folder.state().status == "stopped"
            assert list(folder.path.glob("checkpoint-*")), "it saved before it left"


@pytest.mark.slow
def test_the_last_words_of_a_job_that_could_not_begin(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, EXECUTION)
    cluster.submit([Order(runs=("000000000000",))])
    until(lambda: not cluster.jobs())
    assert "there is no run 000000000000" in cluster.last_words("000000000000")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_local_job_that_is_only_starting_hears_the_terminal_unless_it_is_to_ignore_it(
    tmp_path: Path, number: signal.Signals, ignored: bool
) -> None:
    signature, cluster = created(tmp_path), LocalCluster(tmp_path, EXECUTION)
    before = signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        cluster.submit([Order(runs=(signature,))])
    finally:
        signal.signal(number, before)
    cluster._jobs[0].process.send_signal(number)
    until(lambda: not cluster.jobs())
    assert run_folder(tmp_path, signature).state().status == ("done" if ignored else "new")
    assert cluster._jobs[0].process.returncode == 0, cluster.last_words(signature)


SUBMIT_AND_WAIT = """
import sys, time
from pathlib import Path
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.cluster import LocalCluster
from difair_hpc.sweep.jobs import Order
LocalCluster(Path(sys.argv[1]), ExecutionSpec(device="cpu", threads=1)).submit([Order(runs=(sys.argv[2],))])
print("submitted", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_local_jobs_survive_the_process_that_started_them(tmp_path: Path) -> None:
    signature = created(tmp_path)
    command = [sys.executable, "-c", SUBMIT_AND_WAIT, str(tmp_path), signature]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "submitted\n"
        process.kill()
        process.wait()
        assert run_folder(tmp_path, signature).result() is None
        until(lambda: run_folder(tmp_path, signature).result() is not None)
    finally:
        process.stdout.close()
        with_its_children(process.pid)


def with_its_children(group: int) -> None:
    """End whatever is left of a process group that a test started."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.slurm
@pytest.mark.slow
def test_more_jobs_than_an_array_may_have_go_into_two(tmp_path: Path) -> None:
    limits = submit_limits(run_command, account=None, qos=None)
    assert limits.max_array < 150, "the testbed's is 101"
    queue = Queue(run_command, max_age=0.0, cache=None)
    cluster = SlurmCluster(tmp_path, "mini", SITE, EXECUTION, queue=queue, limits=lambda: limits, program=["true"])
    cluster.submit([Order(runs=(f"{number:012x}",)) for number in range(limits.max_array + 2)])
    jobs = cluster.jobs()
    run_command(["scancel", *{job.id.partition("_")[0] for job in jobs}])
    assert len({job.id.partition("_")[0] for job in jobs}) == 2
    until(lambda: not cluster.jobs())
