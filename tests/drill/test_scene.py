"""Where a run stands as a drill sees it, and that a drill ends what is its own and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from difair_hpc.config import build_run
from difair_hpc.drill.scene import MARK, Scene, saved_epochs, standing
from difair_hpc.drill.servers import mlflow_server
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.train import checkpoint
from tests.runs.made import put_attempt, put_beat
from tests.waiting import eventually

EPOCHS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = run_folder(tmp_path, "ab")
    place.create(build_run({"benchmark": "digits", "protocol": "short"}, {"protocol.epochs": EPOCHS}))
    return place.path


def save(folder: Path, *, attempt: int, epoch: int) -> Path:
    return checkpoint.save(folder, {"epoch": epoch}, attempt=attempt, epoch=epoch, step=0)


def test_a_run_that_was_never_begun_stands_nowhere(tmp_path: Path, folder: Path) -> None:
    assert standing(run_folder(tmp_path, folder.name)) is None


def test_a_run_stands_where_its_newest_attempt_is_and_has_finished_what_any_has(tmp_path: Path, folder: Path) -> None:
    place = run_folder(tmp_path, folder.name)
    put_attempt(folder, 1, started=1.0)
    put_beat(folder, 1, {"time": 1.0, "epoch": 6, "step": 0, "steps": 7})
    save(folder, attempt=1, epoch=7)
    Attempt(folder, {})
    seen = standing(place)
    assert seen is not None
    assert (seen.attempt.number, seen.own, seen.finished, seen.done) == (2, 0, 7, False)
    assert not seen.works, "it has done nothing yet"
    save(folder, attempt=2, epoch=8)
    (folder / "metrics.jsonl").write_text("{}\n")
    seen = standing(place)
    assert seen is not None
    assert (seen.own, seen.finished, seen.works) == (8, 8, True)
    for epoch, works in ((9, True), (10, False)):
        save(folder, attempt=2, epoch=epoch)
        seen = standing(place)
        assert seen is not None
        assert (seen.left, seen.works) == (EPOCHS - epoch, works), "what is about to end is left alone"
    (folder / "result.json").write_text("{}")
    seen = standing(place)
    assert seen is not None
    assert seen.done


def test_a_damaged_checkpoint_does_not_count_as_saved(tmp_path: Path, folder: Path) -> None:
    place = run_folder(tmp_path, folder.name)
    assert saved_epochs(place) == 0
    save(folder, attempt=1, epoch=4)
    newest = save(folder, attempt=1, epoch=5)
    assert saved_epochs(place) == 5
    newest.write_bytes(newest.read_bytes()[:-1])
    assert saved_epochs(place) == 4


def sleeping(mark: str) -> "subprocess.Popen[bytes]":
    """Start a process that starts another one; both sleep."""
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, MARK: mark}, start_new_session=True)


def children(process: "subprocess.Popen[bytes]") -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_closing_ends_every_process_of_this_drill_and_of_no_other(tmp_path: Path) -> None:
    environment = {**os.environ, MARK: f"own-{tmp_path}"}
    server, address = mlflow_server(tmp_path, environment)
    scene = Scene(
        base=tmp_path,
        root=tmp_path / "loud",
        words=(),
        environment=environment,
        execution=ExecutionSpec(),
        slurm=False,
        tracking=server,
        tracking_uri=address,
    )
    own, other = sleeping(environment[MARK]), sleeping(f"other-{tmp_path}")
    try:
        assert eventually(lambda: children(own) and children(other))
        (child,) = children(own)
        scene.close()
        assert own.wait() != 0
        assert eventually(lambda: not Path(f"/proc/{child}/environ").exists() or "Z" in state(child))
        assert other.poll() is None
    finally:
        os.killpg(other.pid, 9)
        other.wait()


def state(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
