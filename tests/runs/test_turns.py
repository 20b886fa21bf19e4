"""One process at a time makes a SQLite store, also where the file system has no locks."""

import errno
import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from difair_hpc.runs import turns
from difair_hpc.runs.turns import one_at_a_time


@pytest.fixture(params=[0, errno.ENOSYS, errno.ENOLCK])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with locks, and two without."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.001)
    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("locks")
def test_turns_do_not_overlap_and_leave_no_claim(tmp_path: Path) -> None:
    inside, most, gate = [0], [0], threading.Barrier(4)

    def work(_: int) -> None:
        gate.wait()
        for _turn in range(3):
            with one_at_a_time(tmp_path / ".mlflow.lock"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == [1]
    assert not (tmp_path / ".mlflow.claim").exists()


def test_the_claim_of_one_that_was_killed_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "locked", lambda _: nullcontext(enter_result=False))
    claim = tmp_path / ".mlflow.claim"
    claim.write_text("whoever it was")
    os.utime(claim, (1000, 1000))
    with one_at_a_time(tmp_path / ".mlflow.lock"):
        assert claim.read_text() != "whoever it was"
    assert not claim.exists()
