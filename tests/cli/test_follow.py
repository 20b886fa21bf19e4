"""`difair logs -F` ends when nothing more can come, and says why."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.cli.logs import goes_on
from difair_hpc.cli.overview import StudyOverview
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.lease import lease
from difair_hpc.sweep.select import RunRow
from tests.cli.made import created
from tests.cli.test_status import said
from tests.sweep.made import die, finish


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopped(root: Path, folder: RunFolder) -> None:
    place = {"job": "77_0", "node": socket.gethostname(), "log": "77_0_log"}
    (root / "jobs").mkdir()
    (root / "jobs" / "77_0_log.out").write_text("epoch 1\n")
    Attempt(folder.path, {"place": place}).end("stopped", signal="SIGUSR2")


def held(root: Path, folder: RunFolder) -> None:
    stopped(root, folder)
    write_mark(folder.path, Mark(hold="held", by="difair hold"))


def cancelled(root: Path, folder: RunFolder) -> None:
    stopped(root, folder)
    write_mark(folder.path, Mark(hold="cancelled", by="difair cancel"))


def failed(_: Path, folder: RunFolder) -> None:
    Attempt(folder.path, {"place": {"job": "77_0"}}).end("failed", message="ValueError: made up")


def dead(root: Path, folder: RunFolder) -> None:
    die(root, folder.signature)


def done(root: Path, folder: RunFolder) -> None:
    finish(root, folder.signature)


@pytest.mark.parametrize("end", [stopped, held, cancelled, failed, dead, done])
def test_following_a_run_that_nobody_executes_ends(
    capsys: pytest.CaptureFixture[str], here: Path, end: Callable[[Path, RunFolder], None]
) -> None:
    folder = created(here / "o")
    end(here / "o", folder)
    out = said(capsys, "logs", "-F", folder.signature, "root=o")
    assert ("epoch 1\n" in out) == (end in (stopped, held, cancelled))
    assert (f"run {folder.signature} is {end.__name__}; next: " in out) == (end is not done)


@pytest.mark.parametrize("state", ["new", "stopped", "dead"])
def test_one_that_somebody_may_still_execute_is_waited_for(here: Path, state: str) -> None:
    row = RunRow(signature="a", state=state, study="mini")
    study = here / "studies" / "mini"
    study.mkdir(parents=True)
    assert not goes_on(here, StudyOverview(study="mini", rows=(row,)), row)
    assert goes_on(here, StudyOverview(study="mini", rows=(row,), jobs=(Job(runs=("b",)),)), row)
    with lease(study, attended=True) as claim:
        assert goes_on(here, StudyOverview(study="mini", rows=(row,)), row)
        claim.end("finished")
    assert not goes_on(here, StudyOverview(study="mini", rows=(row,)), row)
