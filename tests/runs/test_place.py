"""Where an attempt runs, as the environment tells, and when that is not to be believed."""

import socket
from pathlib import Path

import pytest

from difair_hpc.runs.place import Place, allocation_end, here

NOW = 1000.0
ARRAY_TASK = {
    "SLURM_ARRAY_JOB_ID": "4711",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_RESTART_COUNT": "2",
    "SLURMD_NODENAME": "v100-1",
    "SLURM_PROCID": "1",
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difair_hpc.runs.place.time.time", lambda: NOW)


@pytest.fixture
def in_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what SLURM sets in a task of an array, and whatever a shell inherits from it."""
    for name, value in ARRAY_TASK.items():
        monkeypatch.setenv(name, value)


def test_without_a_job_only_the_host_is_known(tmp_path: Path) -> None:
    assert here(tmp_path) == Place(node=socket.gethostname())


@pytest.mark.usefixtures("in_task")
def test_a_task_of_a_slurm_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/4711_3_1_log.err").write_text("of before\n")
    place = here(tmp_path, slurm=True, minutes=10, since=NOW)
    assert place == Place(job="4711_3", restart=2, node="v100-1", log="4711_3_1_log", offset=10, ends=1600.0)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1300")
    assert here(tmp_path, slurm=True, minutes=10, since=NOW).ends == 1300.0


def test_a_local_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(tmp_path, local="77") == Place(job="77", node=socket.gethostname(), log="77_0_log")


@pytest.mark.usefixtures("in_task")
def test_a_local_process_in_the_users_own_array_task_has_its_own_number_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here(tmp_path) == Place(node=socket.gethostname())
    assert here(tmp_path, local="77") == Place(job="77", node=socket.gethostname(), log="77_0_log")


@pytest.mark.parametrize(
    ("told", "end"),
    [("1300", 1300.0), ("1000", None), ("7", None), ("", None), ("Unknown", None), ("inf", None), ("nan", None)],
)
def test_an_allocation_ends_in_the_future_or_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, end: float | None
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", told)
    assert allocation_end() == end
    assert here(tmp_path).ends == end
    assert here(tmp_path, slurm=True, minutes=10, since=NOW).ends == (end or 1600.0)
