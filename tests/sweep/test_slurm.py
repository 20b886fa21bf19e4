"""SLURM's side of the engine without SLURM: the script, the queue's lines, and waves that nobody is sure of."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from difair_hpc.config import profile
from difair_hpc.errors import ClusterUnreachable, Failure, InvalidValue
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.slurm import QueuedJob, SlurmCluster, parse_queue
from difair_hpc.sweep.spec import Profile


class Site:
    """Answers as a SLURM site would, from a script of the test."""

    def __init__(self, root: Path) -> None:
        self.queue: list[tuple[int, str]] = []
        self.refusal = ""
        self.asked: list[str] = []
        self.accepts_silently = False
        self.cluster = self.made_again(root)

    def made_again(self, root: Path) -> SlurmCluster:
        chosen = Profile(name="test", executor="slurm", gres="gpu:1", poll_seconds=0)
        self.cluster = SlurmCluster(root, "mini", chosen, ExecutionSpec(threads=1), command=self)
        return self.cluster

    def __call__(self, words: Sequence[str]) -> str:
        self.asked.append(words[0])
        if words[0] == "squeue":
            return "".join(f"{self.name}|{task}|{state}|None|v100-1\n" for task, state in self.queue)
        if self.refusal:
            raise Failure(self.refusal)
        return "4711\n"

    @property
    def name(self) -> str:
        return self.cluster._prefix + "0001"


def test_one_wave_is_one_array_and_one_question(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cluster.submit([["aaa"], ["bbb", "ccc"]])
    site.queue = [(0, "RUNNING"), (1, "PENDING")]
    assert site.cluster.jobs() == [["aaa"], ["bbb", "ccc"]]
    assert site.asked == ["sbatch", "squeue"]
    site.queue = [(0, "COMPLETED"), (1, "RUNNING")]
    assert site.cluster.jobs() == [["bbb", "ccc"]]
    site.queue = []
    assert site.cluster.jobs() == []


@pytest.mark.parametrize("state", ["CONFIGURING", "SUSPENDED", "REQUEUE_HOLD", "PREEMPTED", "SOME_STATE_OF_2031"])
def test_a_state_that_is_no_end_is_alive(tmp_path: Path, state: str) -> None:
    site = Site(tmp_path)
    site.cluster.submit([["aaa"]])
    site.queue = [(0, state)]
    assert site.cluster.jobs() == [["aaa"]]


def test_a_job_that_sbatch_accepted_and_denied_is_adopted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.refusal = "sbatch failed: Socket error"
    with pytest.raises(Failure, match="Socket error"):
        site.cluster.submit([["aaa"]])
    assert site.cluster.jobs() == [["aaa"]]  # nobody knows: it may still show
    site.queue = [(0, "RUNNING")]
    assert site.made_again(tmp_path).jobs() == [["aaa"]]
    site.queue = [(0, "COMPLETED")]
    assert site.cluster.jobs() == []


def test_a_wave_whose_submitter_died_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path)
    waves = tmp_path / "studies" / "mini" / "waves"
    waves.mkdir(parents=True)
    (waves / "0001.json").write_text(json.dumps({"jobs": [["aaa"]], "execution": {}, "time": 0.0}))
    assert site.cluster.jobs() == []
    site.queue = [(0, "PENDING")]
    assert site.cluster.jobs() == [["aaa"]]
    site.cluster.submit([["bbb"]])
    assert (waves / "0002.json").exists()


def test_the_script_asks_for_what_the_profile_says(tmp_path: Path) -> None:
    chosen = Profile(
        name="mixed",
        executor="slurm",
        partition="gpu",
        account="vision",
        gres="gpu:1",
        constraint="v100|rtx6000",
        minutes=90,
        mem_gb=16,
        threads=4,
        setup=("module load cuda",),
        sbatch={"nice": 100},
    )
    cluster = SlurmCluster(tmp_path, "mini", chosen, ExecutionSpec())
    lines = cluster.script(tmp_path / "studies" / "mini" / "waves" / "0007.json", 3).splitlines()
    for expected in (
        "#SBATCH --account=vision",
        "#SBATCH --array=0-2%3",
        "#SBATCH --constraint='v100|rtx6000'",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --mem=16GB",
        "#SBATCH --nice=100",
        "#SBATCH --open-mode=append",
        "#SBATCH --partition=gpu",
        "#SBATCH --requeue",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --time=90",
        "module load cuda",
    ):
        assert expected in lines
    assert any(line.startswith("#SBATCH --job-name=difair-mini-") and line.endswith("-0007") for line in lines)
    assert "-m difair_hpc.runs.job" in lines[-2] or "-m difair_hpc.runs.job" in lines[-1]


def test_the_script_executes_the_program_that_is_asked_for(tmp_path: Path) -> None:
    chosen = Profile(name="test", executor="slurm")
    cluster = SlurmCluster(tmp_path, "mini", chosen, ExecutionSpec(), program=["/bin/own program", "-x"])
    last = cluster.script(tmp_path / "0007.json", 1).splitlines()[-1]
    assert last.endswith(f"'/bin/own program' -x {tmp_path} {tmp_path / '0007.json'}")


def test_lines_of_the_queue() -> None:
    assert parse_queue("a|3|RUNNING|None|v100-1\nb|N/A|PENDING|Priority|\n") == [
        QueuedJob(name="a", task=3, state="RUNNING", reason="None", node="v100-1"),
        QueuedJob(name="b", task=0, state="PENDING", reason="Priority", node=""),
    ]


def test_without_slurm_the_way_out_is_named() -> None:
    with pytest.raises(Failure, match="cluster=local"):
        run_command(["sbatch-that-is-not-there"])


def test_a_limit_on_jobs_is_no_mistake() -> None:
    with pytest.raises(ClusterUnreachable, match="AssocMaxSubmitJobLimit"):
        run_command(["sh", "-c", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1"])
    with pytest.raises(Failure, match="invalid partition") as caught:
        run_command(["sh", "-c", "echo 'invalid partition specified: x' >&2; exit 1"])
    assert not isinstance(caught.value, ClusterUnreachable)


@pytest.mark.parametrize("option", ["array", "job-name", "job_name", "signal", "output"])
def test_options_that_would_break_the_engine_are_refused_by_name(option: str) -> None:
    with pytest.raises(InvalidValue, match=f"cluster.sbatch.{option}="):
        Profile(name="x", sbatch={option: "1"})


@pytest.mark.parametrize("name", ["v100", "rtx6000", "mixed"])
def test_the_shipped_profiles_load(name: str) -> None:
    assert profile(name).executor == "slurm"
