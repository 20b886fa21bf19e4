"""What is found on a machine."""

import os
import socket
import sys

import pytest

from difair_hpc.runs.probe import covers, machine

LIST = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("archs", "capability", "runs"),
    [
        (LIST, (7, 0), True),  # V100
        (LIST, (7, 5), True),  # Quadro RTX 6000
        (LIST, (8, 9), True),  # code of 8.6 runs on 8.9
        (LIST, (12, 0), True),
        (LIST, (6, 1), False),
        (LIST[1:], (7, 0), False),  # builds for CUDA 13 leave the V100 out
        (["sm_75", "compute_75"], (9, 0), True),  # compiled when it starts
        (["compute_90"], (7, 0), False),
        (["sm_90a"], (9, 0), False),
        ([], (7, 0), False),
    ],
)
def test_whether_a_build_of_torch_runs_on_a_gpu(archs: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert covers(archs, *capability) is runs


def test_this_machine() -> None:
    found = machine()
    assert found.name == socket.gethostname()
    assert found.cpus == len(os.sched_getaffinity(0))
    assert found.memory_gb > 0
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert set(found.foreign) <= set(found.gpus)


def test_in_a_job_the_node_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "gpu-1")
    assert machine(in_job=True).name == f"{socket.gethostname()} gpu-1"
    assert machine().name == socket.gethostname(), "a shell keeps the variable when its job is over"
    monkeypatch.setenv("SLURMD_NODENAME", socket.gethostname())
    assert machine(in_job=True).name == socket.gethostname()
