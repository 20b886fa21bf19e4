"""Where an attempt runs, as the environment tells."""

import socket
from pathlib import Path

import pytest

from difair_hpc.runs.place import Place, here


def test_without_a_job_only_the_host_is_known(tmp_path: Path) -> None:
    assert here(tmp_path) == Place(node=socket.gethostname())


def test_a_task_of_a_slurm_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLURM_ARRAY_JOB_ID": "4711",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "v100-1",
        "SLURM_PROCID": "1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/4711_3_1_log.err").write_text("of before\n")
    place = here(tmp_path, minutes=10, since=1000.0)
    assert place == Place(job="4711_3", restart=2, node="v100-1", log="4711_3_1_log", offset=10, ends=1600.0)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1300")
    assert here(tmp_path, minutes=10, since=1000.0).ends == 1300.0


def test_a_local_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "77")
    monkeypatch.setenv("SUBMITIT_LOCAL_GLOBALID", "0")
    assert here(tmp_path) == Place(job="77", node=socket.gethostname(), log="77_0_log")
