"""A kill at every single write of a run and of a tick: the folders read, and the next attempt ends as undisturbed."""

import functools
import random
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.data.sets import OpenSetData
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.runs.run import Events, execute
from difair_hpc.sweep.jobs import JobEnd
from difair_hpc.sweep.spec import StudySpec
from difair_hpc.sweep.waves import Waves
from difair_hpc.train import checkpoint
from tests.fuzz.cases import SCALE
from tests.fuzz.crash import crash
from tests.runs.made import created, execution, outcome, spec, spooled_epochs
from tests.sweep.studies import COARSE, Bench

LEGAL = {"new", "dead", "stopped", "failed", "done"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> OpenSetData:
    """Let every run train on forty digits."""
    from tests.train.tiny import tiny_data

    monkeypatch.setattr("difair_hpc.runs.run.load", lambda _spec, _root: tiny_data())
    return tiny_data()


def attempt(folder: RunFolder, *, at: int | None = None) -> list[str]:
    """Execute the run up to a kill at write `at`; return the writes that it came to."""
    with crash(folder.path, at) as found:
        execute(folder, execution(), Events())
    return found.places


@functools.cache
def undisturbed(place: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the writes of a run of two epochs, and what it ends with."""
    folder = created(place, spec(epochs=2))
    return attempt(folder), outcome(folder)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


def reads(folder: RunFolder) -> None:
    """Whatever a kill left behind can be read, and is a state that there is."""
    assert folder.state().status in LEGAL
    assert list(folder.points()) == list(range(1, len(folder.points()) + 1))
    loaded = checkpoint.load_newest(folder.path)
    assert loaded is None or loaded.payload["epoch"] >= len(folder.points())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_run_that_is_killed_at_any_write_ends_as_undisturbed(tmp_path: Path, reference: Path, part: int) -> None:
    writes, expected = undisturbed(reference)
    assert len(writes) > 30, "claim, heartbeat, two checkpoints, spool, outputs, model and result"
    for at in range(part, len(writes), 4):
        folder = created(tmp_path / str(at), spec(epochs=2))
        attempt(folder, at=at)
        reads(folder)
        attempt(folder)
        assert outcome(folder) == expected, writes[at]
        assert spooled_epochs(folder) == [1, 2], writes[at]
        assert folder.state().status == "done"


@pytest.mark.slow
@pytest.mark.parametrize("case", range(4 * SCALE))
def test_a_run_that_is_killed_again_and_again_ends_as_undisturbed(tmp_path: Path, reference: Path, case: int) -> None:
    chance, (writes, expected) = random.Random(case), undisturbed(reference)
    folder = created(tmp_path, spec(epochs=2))
    for _ in range(4):
        attempt(folder, at=chance.randrange(len(writes)))
        reads(folder)
    attempt(folder)
    assert outcome(folder) == expected
    assert sorted(set(spooled_epochs(folder))) == [1, 2]


@pytest.mark.slow
def test_a_tick_that_is_killed_at_any_write_is_made_up_for(tmp_path: Path) -> None:
    study = StudySpec(name="mini", stages=(COARSE,))

    def first_ticks(root: Path, at: int | None) -> list[str]:
        bench = Bench(root, parallel=2)
        with crash(root, at) as found:
            bench.reconciler(study).tick()
            bench.cluster.work()
            bench.reconciler(study).tick()
        return found.places

    writes = first_ticks(tmp_path / "undisturbed", None)
    assert len(writes) > 30
    for at in range(0, len(writes), 1 if SCALE > 1 else 3):
        root = tmp_path / str(at)
        first_ticks(root, at)
        bench = Bench(root, parallel=3)
        bench.drive(study)
        (stage,) = bench.reconciler(study).tick()
        assert len({view.state.signature for view in stage.trials}) == 3, writes[at]
        assert all(view.told for view in stage.trials), writes[at]
        assert stage.choice is not None


def test_marks_and_waves_are_old_or_new_after_a_kill_at_any_write(tmp_path: Path) -> None:
    def write(root: Path, at: int | None) -> list[str]:
        with crash(root, at) as found:
            write_mark(root, Mark(hold="held", by="new"))
            waves = Waves(root / "waves")
            wave = waves.add({"jobs": [["a"]], "begun": [0]})
            waves.answer(wave, job="4711")
            waves.end(wave, {0: JobEnd(id="4711_0", state="COMPLETED", time=1.0)})
        return found.places

    (tmp_path / "count").mkdir()
    for at in range(len(write(tmp_path / "count", None))):
        root = tmp_path / str(at)
        root.mkdir()
        write_mark(root, Mark(by="old"))
        write(root, at)
        assert read_mark(root).by in ("old", "new")
        for wave in Waves(root / "waves").read():
            assert (wave.jobs, wave.id in ("", "4711")) == ([["a"]], True)
            assert {end.state for end in wave.ends.values()} <= {"COMPLETED"}
        assert write(root, None), "all of it can be written again"
