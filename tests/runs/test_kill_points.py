"""A run is killed at each place that a process can die in: the next attempt ends with the same bits."""

from pathlib import Path

import pytest

from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.run import Events, execute
from difair_hpc.train import checkpoint
from tests import forked
from tests.runs.made import created, execution, outcome, saves, spooled_epochs
from tests.runs.run_to import uninterrupted
from tests.waiting import eventually

pytestmark = [pytest.mark.usefixtures("tiny"), pytest.mark.slow]

CHILD = """
import os, signal, sys
from pathlib import Path
import torch
import difair_hpc.runs.run as run
from difair_hpc.runs import session, spool
from difair_hpc.runs.folder import run_folder
from difair_hpc.train import checkpoint
from tests.runs.made import STEPS, execution
from tests.train.tiny import tiny_data

root, signature, point = sys.argv[1:]
fsync = os.fsync

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_call(number, place, name):
    really, left = getattr(place, name), iter(range(number - 1))
    setattr(place, name, lambda *given, **named: really(*given, **named) if next(left, None) is not None else die())

def at_sync(word, before):
    def sync(number):
        hit = word in Path(f"/proc/self/fd/{number}").readlink().name
        if hit:
            before(number)
        fsync(number)
        if hit:
            die()
    os.fsync = sync

def torn(number):
    os.ftruncate(number, os.fstat(number).st_size // 2)
    die()

SECOND = "checkpoint-0001-000002"
{
    "in a step": lambda: at_call(STEPS + 2, torch.autograd, "backward"),
    "in a copy": lambda: at_call(2, checkpoint, "copied"),
    "in a write": lambda: at_sync(SECOND, torn),
    "before the rename": lambda: at_sync(SECOND, lambda number: None),
    "before the spool": lambda: at_call(2, spool, "append"),
    "after the spool": lambda: at_sync("metrics", lambda number: None),
    "while measuring": lambda: at_call(1, run, "measure"),
}[point]()
run.load = lambda *_: tiny_data()
run.execute(run_folder(Path(root), signature), execution(), run.Events())
"""


def killed_at(point: str, folder: Path) -> RunFolder:
    """Let a process execute a run until it comes to a point and dies there."""
    place = created(folder)
    with (folder / "said.txt").open("wb") as said:
        words = [str(folder), place.signature, point]
        code = forked.started(words, cwd=folder, out=said, code=CHILD).wait()
    assert code == -9, (folder / "said.txt").read_text()
    return place


@pytest.mark.parametrize(
    ("point", "saved", "told", "half"),
    [
        ("in a step", {"", "1"}, {"", "1"}, None),  # the save of the first epoch goes on beside the steps of the second
        ("in a copy", {"1"}, {"1"}, 0),
        ("in a write", {"1"}, {"1"}, 1),
        ("before the rename", {"1"}, {"1"}, 1),
        ("before the spool", {"12"}, {"1"}, 0),
        ("after the spool", {"1"}, {"1"}, None),
        ("while measuring", {"23"}, {"123"}, None),
    ],
)
def test_a_run_that_is_killed_anywhere_ends_as_if_it_had_not_been(
    tmp_path: Path, point: str, saved: set[str], told: set[str], half: int | None
) -> None:
    """`saved` and `told`: epochs that may be in checkpoints and in the spool then; `half`: files half written."""
    place = killed_at(point, tmp_path)
    epochs = sorted(path.stem.split("-")[2][-1] for path in checkpoint.newest_first(place.path))
    assert "".join(epochs) in saved
    assert "".join(str(epoch) for epoch in place.points()) in told
    if half is not None:
        assert len(list(place.path.glob(".checkpoint-*.tmp"))) == half
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted()
    assert sorted(set(spooled_epochs(place))) == [1, 2, 3]
    assert not list(place.path.glob(".checkpoint-*"))


HANGING = """
import os, sys, time
from pathlib import Path
import difair_hpc.runs.run as run
from difair_hpc.runs.folder import run_folder
from tests.runs.made import execution
from tests.train.tiny import tiny_data

root, signature, word = sys.argv[1:]
really = os.fsync

def fsync(number):
    really(number)
    if word in Path(f"/proc/self/fd/{number}").readlink().name:
        time.sleep(600)

os.fsync = fsync
run.load = lambda *_: tiny_data()
run.execute(run_folder(Path(root), signature), execution(), run.Events())
"""


@pytest.mark.parametrize(
    ("word", "left", "durable", "told"),
    [("checkpoint-0001-000002", 1, ["000001-000000"], [1]), ("metrics", 0, ["000001-000000"], [1])],
    ids=["before the rename", "after the spool"],
)
def test_a_run_killed_in_the_middle_of_a_save_goes_on_from_the_one_before(
    tmp_path: Path, word: str, left: int, durable: list[str], told: list[int]
) -> None:
    place = created(tmp_path / "killed")
    words = [str(tmp_path / "killed"), place.signature, word]
    with (tmp_path / "said.txt").open("wb") as said:
        child = forked.started(words, cwd=tmp_path, out=said, code=HANGING)
    trained_on = eventually(lambda: place.state().epoch > len(told) and saves(place) == durable)
    halves = eventually(lambda: len(list(place.path.glob(".checkpoint-*.tmp"))) == left)
    child.kill()
    assert child.wait() == -9, (tmp_path / "said.txt").read_text()
    assert trained_on, "the thread that saves hangs, and training does not"
    assert halves
    assert (saves(place), list(place.points())) == (durable, told)
    loaded = checkpoint.load_newest(place.path)
    assert loaded is not None
    assert (loaded.payload["epoch"], loaded.skipped) == (1, ())
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted()
    assert list(place.path.glob(".checkpoint-*")) == []
