"""One squeue for everybody: shared answers, quiet after an error, odd lines, and homes that keep nothing."""

import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from difair_hpc.errors import ClusterUnreachable
from difair_hpc.sweep.queue import Queue, QueuedJob, parse_accounts, parse_queue, shared_cache

LINE = "7_3|3|RUNNING|v100-1|None|difair-mini-abc-0001\n"


class Squeue:
    def __init__(self) -> None:
        self.calls = 0
        self.down = False

    def __call__(self, words: Sequence[str]) -> str:
        self.calls += 1
        if self.down:
            raise ClusterUnreachable("squeue failed: Unable to contact slurm controller")
        return LINE


def test_lines_of_the_queue() -> None:
    assert parse_queue(LINE + "9|N/A|PENDING||Priority|name | with bars\n") == [
        QueuedJob(id="7_3", name="difair-mini-abc-0001", task=3, state="RUNNING", reason="None", node="v100-1"),
        QueuedJob(id="9", name="name | with bars", task=0, state="PENDING", reason="Priority", node=""),
    ]


def test_lines_of_accounting() -> None:
    ends = parse_accounts("7_3|CANCELLED by 1000|v100-1\n7_4|NODE_FAIL|None assigned\n")
    assert {job: (end.state, end.node) for job, end in ends.items()} == {
        "7_3": ("CANCELLED", "v100-1"),
        "7_4": ("NODE_FAIL", ""),
    }


def test_several_commands_ask_once_within_the_time(tmp_path: Path) -> None:
    squeue, cache = Squeue(), tmp_path / "squeue.json"
    looks = [Queue(squeue, max_age=60, cache=cache).look() for _ in range(3)]
    assert squeue.calls == 1
    assert looks[0].jobs == looks[1].jobs == looks[2].jobs
    assert looks[0].asked == looks[1].asked <= time.time()
    assert Queue(squeue, max_age=0, cache=cache).look().jobs == looks[0].jobs
    assert squeue.calls == 2


def test_an_answer_from_the_future_or_a_torn_one_is_not_believed(tmp_path: Path) -> None:
    squeue, cache = Squeue(), tmp_path / "squeue.json"
    cache.write_text('{"time": 1e12, "text": ""}')
    assert Queue(squeue, max_age=60, cache=cache).look().jobs
    cache.write_text('{"time": 1e')
    assert Queue(squeue, max_age=60, cache=cache).look().jobs
    assert squeue.calls == 2


def test_after_an_error_nobody_asks_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue = Squeue()
    squeue.down = True
    queue = Queue(squeue, max_age=60, cache=None)
    for _ in range(5):
        with pytest.raises(ClusterUnreachable, match="Unable to contact"):
            queue.look()
    assert squeue.calls == 1
    squeue.down = False
    now = time.monotonic()
    monkeypatch.setattr("difair_hpc.sweep.commands.time.monotonic", lambda: now + 6)
    assert queue.look().jobs
    assert squeue.calls == 2


def test_an_outage_may_last_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    squeue, clock = Squeue(), [0.0]
    squeue.down = True
    queue = Queue(squeue, max_age=60, cache=None)
    monkeypatch.setattr("difair_hpc.sweep.commands.time.monotonic", lambda: clock[0])
    for _ in range(1100):
        clock[0] += 61
        with pytest.raises(ClusterUnreachable, match="Unable to contact"):
            queue.look()
    assert squeue.calls == 1100


@pytest.mark.parametrize("open_", ["by its mode", "by its owner"])
def test_an_answer_that_somebody_else_may_have_written_is_none(tmp_path: Path, open_: str) -> None:
    """Some sites give all users one folder for caches."""
    squeue, cache = Squeue(), tmp_path / "squeue.json"
    assert Queue(squeue, max_age=60, cache=cache).look().jobs
    assert Queue(squeue, max_age=60, cache=cache).look().jobs
    assert squeue.calls == 1
    if open_ == "by its mode":
        cache.chmod(0o666)
    elif os.geteuid() == 0:
        os.chown(cache, 4711, -1)
    else:
        pytest.skip("root alone can give a file to somebody else")
    assert Queue(squeue, max_age=60, cache=cache).look().jobs
    assert squeue.calls == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_cache_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    squeue = Squeue()
    queue = Queue(squeue, max_age=60, cache=tmp_path / "squeue.json")
    monkeypatch.setattr(os, "open", refuse)
    assert queue.look().jobs
    assert queue.look().jobs
    assert squeue.calls == 1, "what this command has asked is good for it all the same"
    assert Queue(squeue, max_age=60, cache=tmp_path / "squeue.json").look().jobs
    assert squeue.calls == 2


@pytest.fixture
def full_home(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few pages, with no room left."""
    folder = tmp_path / "home"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(OSError, match="No space left"):
            (folder / "filled").write_bytes(bytes(100_000))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_home_that_is_really_full(full_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(full_home))
    cache, squeue = shared_cache(), Squeue()
    assert all(Queue(squeue, max_age=60, cache=cache).look().jobs for _ in range(2))
    assert squeue.calls == 2


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_the_answer_is_shared_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    squeue, cache = Squeue(), tmp_path / "squeue.json"
    assert all(Queue(squeue, max_age=60, cache=cache).look().jobs for _ in range(3))
    assert squeue.calls == 1


def test_a_cache_that_cannot_be_read_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_text", refuse)
    assert Queue(Squeue(), max_age=60, cache=tmp_path / "squeue.json").look().jobs


def test_who_has_no_home_asks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: object) -> None:
        raise KeyError("getpwuid(): uid not found: 4242")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert shared_cache() is None


def test_foreign_names_hide_no_job_of_ours() -> None:
    odd = ["caf\ufffd", "a\x85b", "a\u2028b", "a\x0cb|c", "\x1c|||||"]
    text = "".join(f"{n}|N/A|RUNNING|n1|None|{name}\n{LINE}" for n, name in enumerate(odd))
    ours = [job for job in parse_queue(text) if job.name == "difair-mini-abc-0001"]
    assert [job.id for job in ours] == ["7_3"] * len(odd)
    assert len(parse_queue(text)) == 2 * len(odd)


def test_each_cluster_has_its_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    conf = tmp_path / "slurm.conf"
    names = []
    for cluster in ("one", "two"):
        conf.write_text(f"# x\nClusterName={cluster}\n")
        monkeypatch.setenv("SLURM_CONF", str(conf))
        names.append(shared_cache())
    assert names[0] != names[1]
    assert names[0] is not None
    assert names[0].parent == tmp_path / "difair"
    assert "squeue-one-" in names[0].name
