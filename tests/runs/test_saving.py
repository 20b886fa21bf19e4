"""Checkpoints are written while training goes on: durable before the spool tells, in order, and never half believed."""

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from difair_hpc.errors import DiskFull, RunFailed
from difair_hpc.runs.attempts import view
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.stop import StopWatch
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import TrainState
from tests.runs.made import (
    STEPS,
    created,
    execution,
    outcome,
    put_attempt,
    saves,
    spec,
    spooled_epochs,
    stop_after,
)
from tests.runs.run_to import uninterrupted
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.usefixtures("tiny")


@dataclass
class Disk:
    """Syncs as ever, but does something before a file whose path has `word` in it; remembers what was synced."""

    word: str
    before: Callable[[], object] = lambda: None
    synced: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.really = os.fsync

    def sync(self, number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").readlink()
        if self.word in path.name:
            self.reached.set()
            self.before()
        self.really(number)
        self.synced.append(path.name)

    @property
    def saved(self) -> list[str]:
        """Checkpoints and spool, as they were synced."""
        return [name.strip(".").split(".")[0] for name in self.synced if name.startswith((".checkpoint", "metrics"))]

    def wait(self) -> None:
        assert self.let_go.wait(HANG_SECONDS)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Disk]:
    def slow(word: str, before: Callable[[], object] | None = None) -> Disk:
        made = Disk(word)
        made.before = before or made.wait
        monkeypatch.setattr("difair_hpc.files.os.fsync", made.sync)
        return made

    return slow


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("checkpoint")]


def at_batch(number: int, act: Callable[[], object]) -> Callable[[], bool]:
    """Return a request to stop that never asks, but acts before the batch of that number."""
    left = iter(range(number))

    def asked() -> bool:
        if next(left, None) == number - 1:
            act()
        return False

    return asked


def test_training_goes_on_while_a_checkpoint_is_written_and_the_spool_waits(
    tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    slow, place = disk("checkpoint-0001-000001"), created(tmp_path)
    seen: list[object] = []

    def look() -> None:
        assert slow.reached.wait(HANG_SECONDS)
        seen.extend([list(place.points()), saves(place), len(writers())])
        slow.let_go.set()

    last_of_the_second_epoch = at_batch(2 * STEPS, look)
    assert execute(place, execution(), Events(should_stop=last_of_the_second_epoch)) == "completed"
    assert seen == [[], [], 1]
    assert outcome(place) == uninterrupted()
    assert spooled_epochs(place) == [1, 2, 3]
    assert writers() == []


def test_each_save_is_done_before_the_next_begins(tmp_path: Path, disk: Callable[..., Disk]) -> None:
    slow, place = disk("checkpoint", lambda: time.sleep(0.2)), created(tmp_path)
    execute(place, execution(), Events())
    assert slow.saved == [name for epoch in (1, 2, 3) for name in (f"checkpoint-0001-{epoch:06d}-000000", "metrics")]


@pytest.mark.parametrize(
    ("ended", "batches", "kept"),
    [
        ("completed", 3 * STEPS, ["000003-000000"]),
        ("diverged", 3 * STEPS, ["000001-000000"]),
        ("stopped", STEPS + 1, ["000001-000001", "000001-000000"]),
        ("stopped", 2 * STEPS, ["000002-000000", "000001-000000"]),
    ],
)
def test_however_a_run_ends_all_it_saved_is_on_the_disk(
    tmp_path: Path, disk: Callable[..., Disk], ended: str, batches: int, kept: list[str]
) -> None:
    slow = disk("checkpoint", lambda: time.sleep(0.3))
    place = created(tmp_path, spec(learning_rate=1e30 if ended == "diverged" else 0.1))
    assert execute(place, execution(), Events(should_stop=stop_after(batches))) == ended
    assert saves(place) == kept
    assert list(place.points()) == list(range(1, int(kept[0][:6]) + 1))
    assert writers() == []
    once = [name for name in slow.saved if name != "metrics"]
    assert len(once) == len(set(once)), "nothing is saved twice"


def test_an_error_in_training_waits_for_the_save_under_way(tmp_path: Path, disk: Callable[..., Disk]) -> None:
    slow, place = disk("checkpoint-0001-000001"), created(tmp_path)

    def fail(_: TrainState) -> None:
        assert slow.reached.wait(HANG_SECONDS)
        threading.Timer(0.3, slow.let_go.set).start()
        raise MemoryError("out of memory")

    with pytest.raises(RunFailed, match="MemoryError: out of memory"):
        execute(place, execution(), Events(on_epoch=fail))
    assert (saves(place), list(place.points()), writers()) == (["000001-000000"], [1], [])


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_full_disk_ends_the_attempt_and_leaves_the_older_checkpoints(
    tmp_path: Path, disk: Callable[..., Disk], epoch: int
) -> None:
    slow, place = disk(f"checkpoint-0001-{epoch:06d}", full), created(tmp_path)
    with pytest.raises(DiskFull, match="no space is left") as caught:
        execute(place, execution(), Events())
    assert (place.state().status, place.state().message) == ("failed", str(caught.value))
    assert list(place.points()) == list(range(1, epoch))
    assert saves(place)[0] == f"{epoch - 1:06d}-000000"
    assert not [name for name in slow.synced if f"checkpoint-0001-{epoch + 1:06d}" in name]
    assert (place.result(), writers(), list(place.path.glob("*.tmp"))) == (None, [], [])
    slow.before = lambda: None
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted()


def test_two_errors_are_both_on_record(tmp_path: Path, disk: Callable[..., Disk]) -> None:
    slow, place = disk("checkpoint-0001-000001", full), created(tmp_path)

    def fail(_: TrainState) -> None:
        assert slow.reached.wait(HANG_SECONDS)
        raise MemoryError("out of memory")

    with pytest.raises(RunFailed, match="MemoryError: out of memory"):
        execute(place, execution(), Events(on_epoch=fail))
    end = view(place.path, 1).end
    assert end is not None
    assert end["message"] == "MemoryError: out of memory"
    assert "The last checkpoint failed as well: DiskFull: no space is left" in end["trace"]


def test_what_an_attempt_was_writing_when_it_was_superseded_does_not_count(
    tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    slow, place = disk("checkpoint-0001-000002"), created(tmp_path)

    def take_over() -> None:
        assert slow.reached.wait(HANG_SECONDS)
        put_attempt(place.path, 2)
        slow.let_go.set()

    assert execute(place, execution(), Events(should_stop=at_batch(2 * STEPS + 1, take_over))) == "superseded"
    assert (saves(place), list(place.points()), writers()) == (["000001-000000"], [1], [])
    assert list(place.path.glob(".checkpoint-*")) == []
    end = view(place.path, 1).end
    assert end is not None
    assert end["reason"] == "superseded"


def test_a_superseded_attempt_leaves_at_the_end_of_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = created(tmp_path, spec(epochs=9))
    seen: list[int] = []
    used: list[checkpoint.Writer] = []
    begin = checkpoint.Writer.begin

    def noted(writer: checkpoint.Writer, save: Callable[[], None]) -> None:
        used.append(writer)
        begin(writer, save)

    monkeypatch.setattr(checkpoint.Writer, "begin", noted)

    def take_over(state: TrainState) -> None:
        seen.append(state.epoch)
        if state.epoch == 2:
            put_attempt(place.path, 2)
        if state.epoch == 4:
            assert eventually(lambda: used[-1]._save is not None and used[-1]._save.done())

    execute(place, execution(checkpoint_epochs=4), Events(on_epoch=take_over))
    assert seen == [1, 2, 3, 4], "the save of epoch 4 has found out; the next save is due in epoch 8"


def test_the_margin_before_a_time_limit_knows_how_long_a_save_takes(
    tmp_path: Path, disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    class Told(StopWatch):
        def save_took(self, seconds: float) -> None:
            told.append(seconds)
            super().save_took(seconds)

    monkeypatch.setattr("difair_hpc.runs.run.StopWatch", Told)
    disk("checkpoint", lambda: time.sleep(0.3))
    execute(created(tmp_path), execution(), Events())
    assert len(told) == 3
    assert min(told) >= 0.3
