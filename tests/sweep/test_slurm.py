"""SLURM's side of the engine without SLURM: the script, waves that nobody is sure of, limits, and ends."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from difair_hpc.errors import Failure, InvalidValue, JobRefused, LimitReached
from difair_hpc.sweep.jobs import Order
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.site import SubmitLimits
from tests.sweep.scripted import Site, wave


def test_one_wave_is_one_array_and_one_question(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["aaa"], ["bbb", "ccc"])
    site.shows("RUNNING", "PENDING")
    assert site.runs() == [["aaa"], ["bbb", "ccc"]]
    assert [job.id for job in site.cluster.jobs()] == ["4711_0", "4711_1"]
    assert site.asked == ["sbatch", "squeue", "squeue"]
    site.shows("COMPLETED", "RUNNING")
    assert site.runs() == [["bbb", "ccc"]]
    site.shows("", "")
    assert site.runs() == []


@pytest.mark.parametrize("state", ["CONFIGURING", "SUSPENDED", "REQUEUE_HOLD", "PREEMPTED", "SOME_STATE_OF_2031"])
def test_a_state_that_is_no_end_is_alive(tmp_path: Path, state: str) -> None:
    site = Site(tmp_path)
    site.submit(["aaa"])
    site.shows(state)
    assert site.runs() == [["aaa"]]


def test_a_job_that_sbatch_accepted_and_denied_is_adopted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.refusal = Failure("sbatch failed: Socket error")
    with pytest.raises(Failure, match="Socket error"):
        site.submit(["aaa"])
    assert site.runs() == [["aaa"]]  # nobody knows: it may still show
    site.shows("RUNNING")
    site.made_again()
    assert site.runs() == [["aaa"]]
    site.left("NODE_FAIL")
    assert site.runs() == []
    end = site.cluster.ended("4711_0")
    assert end is not None
    assert end.state == "NODE_FAIL", "its number was learned from the queue"


def test_what_slurm_refuses_is_not_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.refusal = JobRefused("sbatch failed: invalid partition specified: x")
    with pytest.raises(JobRefused, match="invalid partition"):
        site.submit(["aaa"])
    assert site.runs() == []


def test_a_wave_whose_submitter_died_counts_until_it_should_have_shown_up(tmp_path: Path) -> None:
    site = Site(tmp_path)
    wave(site).parent.mkdir(parents=True)
    wave(site).write_text(json.dumps({"jobs": [["aaa"]], "begun": [0], "time": 0.0}))
    site.shows("PENDING")
    assert site.runs() == [["aaa"]]
    site = Site(tmp_path / "lost")
    wave(site).parent.mkdir(parents=True)
    wave(site).write_text(json.dumps({"jobs": [["aaa"]], "begun": [0], "time": 0.0}))
    assert site.runs() == []
    assert site.cluster.past("aaa") == [], "a job that never was has not failed to begin"
    site.submit(["bbb"])
    assert wave(site, 2).exists()


def test_ends_are_on_record_with_and_without_accounting(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["aaa"], ["bbb"], ["ccc"])
    site.shows("TIMEOUT", "RUNNING", "RUNNING")
    site.cluster.jobs()
    site.left("TIMEOUT", "CANCELLED", node="rtx-1")
    site.cluster.jobs()
    site.shows("", "", "")
    site.slurm.accounting = False
    site.cluster.jobs()
    site.made_again().jobs()
    ends = [site.cluster.ended(f"4711_{task}") for task in range(3)]
    assert [(end.state, end.node) for end in ends if end is not None] == [
        ("TIMEOUT", "v100-1"),
        ("CANCELLED", "rtx-1"),
        ("", ""),
    ]
    assert site.asked.count("sacct") == 2, "only for what left without being seen"
    site.cluster.jobs()
    assert site.asked.count("sacct") == 2


def test_the_job_that_ticks_the_study_as_its_last_step_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    site.submit(["aaa"], ["bbb"])
    site.shows("RUNNING", "RUNNING")
    for name, value in {"DIFAIR_LEAVING": "1", "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert site.runs() == [["aaa"]]
    assert site.cluster.ended("4711_0") is None
    assert site.cluster.ended("4711_1") is not None
    assert json.loads(wave(site).with_suffix(".answer.json").read_text())["id"] == "4711"
    assert not wave(site).with_suffix(".ends.json").exists(), "how it ends is not known yet"


def test_jobs_that_ended_before_their_run_began(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["aaa", "bbb"])
    site.submit(["aaa"], begun=1)
    site.shows("FAILED")
    site.shows("RUNNING", wave=2)
    site.cluster.jobs()
    assert [(end.state, end.begun) for end in site.cluster.past("aaa")] == [("FAILED", 0)], "the other job lives"
    assert site.cluster.past("bbb") == [], "it was not the first of its job"


def test_a_wave_is_split_where_arrays_end_and_where_memory_differs(tmp_path: Path) -> None:
    site = Site(tmp_path, mem_gb=8)
    site.limits = SubmitLimits(max_array=2, max_submit=None)
    orders = [
        Order(runs=(name,), memory_factor=factor) for name, factor in zip("abcde", (1, 1, 1, 1.5, 1), strict=True)
    ]
    site.cluster.submit(orders)
    jobs = [json.loads(wave(site, number).read_text())["jobs"] for number in (1, 2, 3)]
    assert jobs == [[["a"], ["b"]], [["c"], ["e"]], [["d"]]]
    assert "#SBATCH --mem=8192M" in wave(site, 2).with_suffix(".sbatch").read_text()
    assert "#SBATCH --mem=12288M" in wave(site, 3).with_suffix(".sbatch").read_text()


def test_a_limit_that_is_known_bounds_what_is_submitted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.limits = SubmitLimits(max_array=1000, max_submit=3)  # one is taken by the job of another study
    site.submit(["a"], ["b"], ["c"])
    assert json.loads(wave(site).read_text())["jobs"] == [["a"], ["b"]]
    site.shows("PENDING", "PENDING")
    with pytest.raises(LimitReached, match="the site lets you have 3 jobs"):
        site.submit(["c"])
    assert not wave(site, 2).exists()


def test_a_limit_that_is_not_known_halves_the_wave(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.at_most = 1
    site.submit(["a"], ["b"], ["c"], ["d"])
    site.shows("PENDING", wave=3)
    assert site.runs() == [["a"]], "refused halves are no jobs, and the rest waits for a tick"


def test_the_script_asks_for_what_the_profile_says(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        partition="gpu",
        account="vision",
        constraint="v100|rtx6000",
        minutes=90,
        mem_gb=16,
        threads=4,
        setup=("module load cuda",),
        sbatch={"nice": 100},
    )
    lines = site.cluster.script(wave(site, 7), 3, exclude=["rtx-2", "rtx-1"]).splitlines()
    for expected in (
        "#SBATCH --account=vision",
        "#SBATCH --array=0-2%3",
        "#SBATCH --constraint='v100|rtx6000'",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --exclude=rtx-1,rtx-2",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --mem=16384M",
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
    (work,) = [number for number, line in enumerate(lines) if "-m difair_hpc.runs.job" in line]
    (last,) = [number for number, line in enumerate(lines) if "-m difair_hpc.sweep.after" in line]
    assert work < last
    assert not any("ntasks" in line for line in lines)


def test_several_runs_share_a_gpu_in_one_job(tmp_path: Path) -> None:
    lines = Site(tmp_path, runs_per_gpu=3).cluster.script(wave(Site(tmp_path)), 1).splitlines()
    assert "#SBATCH --ntasks-per-node=3" in lines
    assert "#SBATCH --gres=gpu:1" in lines


def test_gpus_may_be_asked_for_in_the_other_style(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.profile = Profile(name="x", executor="slurm", gpus="v100:1")
    lines = site.made_again().script(wave(site), 1).splitlines()
    assert "#SBATCH --gpus=v100:1" in lines
    assert not any("gres" in line for line in lines)
    with pytest.raises(InvalidValue, match="cluster.gpus=v100:1 is not possible"):
        Profile(name="x", gres="gpu:1", gpus="v100:1")


def test_run_and_last_step_are_started_from_the_frozen_copy_and_from_no_other_folder(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cluster._code = tmp_path / "my code"
    started = [line for line in site.cluster.script(wave(site), 1).splitlines() if "-m difair_hpc." in line]
    assert len(started) == 2
    assert all(f" -P '{tmp_path}/my code/difair_hpc/launch.py' -m difair_hpc." in line for line in started)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a folder to somebody else")
def test_a_job_refuses_a_copy_or_a_wave_that_somebody_else_has_put_there(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cluster._code = tmp_path / "my code"
    site.cluster._code.mkdir()
    site.submit(["aaa"])
    script = wave(site).with_suffix(".sbatch").read_text()
    own = [line for line in script.splitlines() if line.startswith("[ -O ")]
    assert [line.split(" ] ")[0] for line in own] == [f"[ -O '{tmp_path}/my code'", f"[ -O {wave(site)}"]
    os.chown(site.cluster._code, os.geteuid() + 1, -1)
    done = subprocess.run(["bash", "-c", "\n".join(own) + "\necho work"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/my code is not yours any more; nothing was executed\n"
