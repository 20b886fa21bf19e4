"""Profiles: what they refuse, and that the shipped ones load."""

from pathlib import Path

import pytest

from difair_hpc.config import profile
from difair_hpc.errors import InvalidValue, UnknownKey
from difair_hpc.sweep.profile import Profile


@pytest.mark.parametrize("option", ["array", "job-name", "job_name", "signal", "output", "time", "wrap"])
def test_options_that_would_break_the_engine_are_refused_by_name(option: str) -> None:
    with pytest.raises(InvalidValue, match=f"cluster.sbatch.{option}="):
        Profile(name="x", sbatch={option: "1"})


def test_retries_are_by_type() -> None:
    assert Profile(name="x", retries={"died": 7, "failed": None}).budgets["died"] == 7
    assert Profile(name="x", retries={"failed": None}).budgets["failed"] is None
    with pytest.raises(UnknownKey, match=r"cluster\.retries\.faild"):
        Profile(name="x", retries={"faild": 1})
    with pytest.raises(InvalidValue, match=r"cluster\.retries\.failed=-1"):
        Profile(name="x", retries={"failed": -1})


@pytest.mark.parametrize("name", ["v100", "rtx6000", "mixed"])
def test_the_shipped_profiles_load(name: str) -> None:
    assert profile(name).executor == "slurm"
    assert profile(name, {"retries.died": 5}).budgets["died"] == 5


def test_a_machine_without_gpus_may_say_so_for_all_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert profile("v100").device == "cuda"
    monkeypatch.setenv("DIFAIR_DEVICE", "cpu")
    assert profile("v100").device == "cpu"
    assert profile("v100", {"device": "auto"}).device == "auto"


def test_a_pause_is_how_a_run_is_executed_and_no_part_of_it() -> None:
    assert Profile(name="x", pause_seconds=0.5, threads=2).execution(Path("d"), threads=9).pause_seconds == 0.5
    assert Profile(name="x").execution(Path("d"), threads=9).threads == 9
    with pytest.raises(InvalidValue, match=r"cluster\.pause_seconds=-1"):
        Profile(name="x", pause_seconds=-1.0)


@pytest.mark.parametrize("device", ["cuda:1", "cuda:7", "gpu", "0", ""])
def test_a_run_sees_one_gpu_so_that_none_can_be_chosen_by_number(device: str) -> None:
    with pytest.raises(InvalidValue, match=r"cluster\.device=.*auto, cpu or cuda.*CUDA_VISIBLE_DEVICES=1,2 difair"):
        Profile(name="x", device=device)
