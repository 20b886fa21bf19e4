"""Affinity and the quotas of cgroups bound the threads of a run, wherever a site or a container sets them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from difair_hpc.runs.cpus import usable_cpus, usable_threads
from difair_hpc.runs.device import make_repeatable
from difair_hpc.runs.spec import ExecutionSpec


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process have an affinity of sixteen CPUs."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))


def cgroups(root: Path, own: str, files: Mapping[str, str]) -> int:
    """Return the CPUs of a process with these cgroups and these files."""
    (root / "own").write_text(own)
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return usable_cpus(root / "cgroup", root / "own")


V1 = "9:name=systemd:/\n4:cpu,cpuacct:/slurm/job_7/step_0\n3:memory:/slurm\n"


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/\n", {}, 16),
        ("", {}, 16),
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "cpu.max": "max 100000"}, 16),
        ("0::/../../host/path\n", {"cpu.max": "150000 100000"}, 1),
        ("0::/docker/0123\n", {"cpu.max": "500000 100000"}, 5),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000"}, 16),
        ("0::/\n", {"cpu.max": "nonsense"}, 16),
        ("0::/\n", {"cpu.max": "100000 0"}, 16),
        ("0::/a\n", {"unified/a/cpu.max": "200000 100000"}, 2),
        (V1, {"cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us": "400000",
              "cpu,cpuacct/slurm/job_7/cpu.cfs_period_us": "100000"}, 4),
        (V1, {"cpu/slurm/cpu.cfs_quota_us": "200000", "cpu/slurm/cpu.cfs_period_us": "100000"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/slurm/cpu.cfs_quota_us": "-1", "cpu/slurm/cpu.cfs_period_us": "100000"}, 16),
        (V1, {"memory/slurm/cpu.cfs_quota_us": "100000", "memory/slurm/cpu.cfs_period_us": "100000"}, 16),
    ],
)  # fmt: skip
def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path, own: str, files: Mapping[str, str], cpus: int) -> None:
    assert cgroups(tmp_path, own, files) == cpus


def test_the_affinity_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
    assert cgroups(tmp_path, "0::/\n", {"cpu.max": "800000 100000"}) == 2


@pytest.mark.parametrize(("asked", "cpus", "threads"), [(None, 3, 3), (4, 2, 2), (2, 4, 2), (1, 1, 1)])
def test_a_run_has_no_more_threads_than_cpus(asked: int | None, cpus: int, threads: int) -> None:
    assert usable_threads(asked, cpus=cpus) == threads


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Let this process really run on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_what_is_trained_has_the_threads_that_there_are_cpus_for(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.undo()
    request.getfixturevalue("one_cpu")
    make_repeatable(ExecutionSpec(device="cpu", threads=4))
    assert torch.get_num_threads() == 1
