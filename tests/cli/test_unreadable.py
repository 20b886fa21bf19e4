"""A run that cannot be read is named with the reason, and keeps no other from being shown, reported or shipped."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.plan import Limits, next_step, plan
from difair_hpc.sweep.sight import Sight
from tests.cli.made import half_finished
from tests.marks import USES_MLFLOW

pytestmark = [*USES_MLFLOW]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _huge(folder: Path) -> None:
    with (folder / "result.json").open("wb") as file:
        file.truncate(2**33)


def _huge_spool(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("wb") as file:
        file.truncate(2**33)


def _elsewhere(folder: Path) -> None:
    """Somebody has put a link in the place of the folder."""
    folder.parent.chmod(0o777)
    folder.rename(folder.with_name("moved"))
    folder.symlink_to("moved")


def _attempts_elsewhere(folder: Path) -> None:
    folder.chmod(0o777)
    (folder / "attempts").rename(folder / "moved")
    (folder / "attempts").symlink_to("moved")
    (folder / "result.json").unlink()


DAMAGES = [_huge, _elsewhere, _attempts_elsewhere]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_verb_goes_on_without_it(
    here: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    runs = half_finished(here / "outputs")
    damage(run_folder(here / "outputs", runs["two"]).path)
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert f"{runs['two']}" in out
    assert "unreadable" in out
    assert "cannot be read" in " ".join(out.split())
    assert re.search("[23] done, ", out), "the others are shown as ever"
    for words in (["status", "-f", "json"], ["why", runs["two"]], ["logs", runs["six"]], ["report"], ["resume", "-n"]):
        assert main(words) in (0, 1), words
        said = capsys.readouterr()
        assert "internal error" not in said.err
    assert main(["why", runs["two"]]) in (0, 1)
    told = capsys.readouterr()
    assert "cannot be read" in told.out + told.err


@pytest.mark.parametrize("damage", [*DAMAGES, _huge_spool])
def test_the_others_are_shipped(here: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]) -> None:
    runs = half_finished(here / "outputs")
    damage(run_folder(here / "outputs", runs["two"]).path)
    assert main(["sync"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "cannot be read" in line]
    assert line.startswith("left out: ")
    assert runs["two"] in line


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_tick_leaves_it_alone(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """To start it anew could make a second process of it, and to give it up would throw it away."""
    runs = half_finished(tmp_path)
    damage(run_folder(tmp_path, runs["two"]).path)
    sight = Sight(tmp_path, MemoryCluster(lambda _: None))
    views = [sight.view(runs[name]) for name in ("two", "new")]
    assert views[0].state.status == "unreadable"
    actions = plan(views, to_propose=0, jobs=[], limits=Limits(parallel=4))
    assert [(action.kind, action.signature) for action in actions] == [("submit", runs["new"])]
    assert next_step(views[0], [], Limits(parallel=4)).startswith("nothing before it can be read: ")


@pytest.mark.parametrize("name", ["spec.json", "result.json", "mark.json", "metrics.jsonl", "attempts/0001.end.json"])
def test_nobody_waits_for_a_pipe_in_a_run(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    runs = half_finished(here / "outputs")
    path = run_folder(here / "outputs", runs["bad"]).path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for words in (["status"], ["why", runs["bad"]], ["logs", runs["bad"]], ["report"], ["sync"], ["resume", "-n"]):
        assert main(words) in (0, 1, 2), words
    assert "internal error" not in capsys.readouterr().err
