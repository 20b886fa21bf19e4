"""File systems that lack something: no hard links, no locks, no fsync, and NFS that answers twice."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from difair_hpc import disk
from difair_hpc.disk import locked, rename_once
from difair_hpc.errors import DiskFull, Failure, RootUnusable
from difair_hpc.files import append_line, write_atomically, write_once
from difair_hpc.nofollow import reached

Lack = Callable[[], None]


def fails(number: int) -> Callable[..., None]:
    """Return a stand-in for an operation that a file system has not, or that goes wrong."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(
    params=["hard links", "rename alone", "neither"],
)
def claims(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three file systems: one with all, one without hard links, one that cannot rename without replacing either."""
    if request.param != "hard links":
        monkeypatch.setattr(os, "link", fails(errno.EPERM))
    if request.param == "neither":
        monkeypatch.setattr(disk, "rename_once", fails(errno.EINVAL))
    return str(request.param)


@pytest.mark.usefixtures("claims")
def test_one_writer_makes_a_file_and_the_others_see_it_whole(tmp_path: Path) -> None:
    path, gate = tmp_path / "0001.json", threading.Barrier(8)

    def claim(number: int) -> bool:
        gate.wait()
        return write_once(path, str(number))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(claim, range(8)))
    assert made.count(True) == 1
    assert path.read_text() == str(made.index(True))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("claims")
def test_what_is_the_users_own_stays_so(tmp_path: Path) -> None:
    os.umask(0)
    assert write_once(tmp_path / "wave.json", "{}", own=True)
    assert (tmp_path / "wave.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_whatever_a_file_system_says_of_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", fails(number))
    assert write_once(tmp_path / "claim", "first")
    assert not write_once(tmp_path / "claim", "second")
    assert (tmp_path / "claim").read_text() == "first"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_no_lack_of_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", fails(number))
    with pytest.raises(RootUnusable, match="check who owns"):
        write_once(tmp_path / "claim", "")


def test_a_link_whose_first_answer_was_lost_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def repeated(*words: Any, **named: Any) -> None:
        link(*words, **named)
        link(*words, **named)

    monkeypatch.setattr(os, "link", repeated)
    assert write_once(tmp_path / "0001.json", "first")
    assert not write_once(tmp_path / "0001.json", "second")
    assert (tmp_path / "0001.json").read_text() == "first"


def test_a_full_disk_leaves_no_half_of_a_file_that_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fails(errno.EPERM))
    monkeypatch.setattr(disk, "rename_once", fails(errno.ENOSYS))
    monkeypatch.setattr(disk, "to_disk", fails(errno.ENOSPC))
    with pytest.raises(DiskFull):
        write_once(tmp_path / "claim", "first")
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with reached(tmp_path / "a") as (folder, _):
        rename_once(folder, "a", "b")
        (tmp_path / "a").write_text("other")
        with pytest.raises(FileExistsError):
            rename_once(folder, "a", "b")
    assert (tmp_path / "b").read_text() == "a"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_without_fsync_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", fails(number))
    append_line(write_atomically(tmp_path / "spool", "one\n"), "two")
    assert (tmp_path / "spool").read_text() == "one\ntwo\n"


def test_a_disk_that_fails_is_no_lack_of_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fails(errno.EIO))
    with pytest.raises(Failure, match="Input/output error"):
        write_atomically(tmp_path / "spool", "one\n")


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as held, (tmp_path / "lock").open() as other:
        assert held
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(number))
    with locked(tmp_path / "lock") as held:
        assert not held
    with locked(tmp_path / "no folder" / "lock") as held:
        assert not held
