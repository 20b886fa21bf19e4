"""The last step of a job: another turn where its time was up, else a tick, and a word where that is not possible."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from difair_hpc.runs.place import AGAIN
from difair_hpc.sweep import after
from difair_hpc.sweep.lease import Wishes, lease

SAY = """#!/bin/bash
echo "$0 $*" >>{log}
printf 'caf\\xe9' >&2
exit {code}
"""


class Node:
    """A compute node with a scontrol of the test's, and one wave of one job."""

    def __init__(self, folder: Path, *, scontrol: int, again: list[str]) -> None:
        self.folder = folder
        self.study = folder / "study"
        self.study.mkdir()
        self.log = folder / "said"
        (folder / "bin").mkdir()
        program = folder / "bin" / "scontrol"
        program.write_text(SAY.replace("{log}", str(self.log)).replace("{code}", str(scontrol)))
        program.chmod(0o755)
        self.wave = folder / "0001.json"
        self.wave.write_text(json.dumps({"again": again, "folder": str(folder)}))

    def says(self, body: str) -> None:
        """Let the tick be this script."""
        program = self.folder / "tick"
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)

    def end(self, code: int) -> str:
        """Let a job end with an exit code; return what its last step complained of."""
        place = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURMD_NODENAME": "n1"}
        done = subprocess.run(
            [sys.executable, "-m", "difair_hpc.sweep.after", str(self.study), str(self.wave), str(code)],
            env={**os.environ, **place, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    @property
    def refusal(self) -> Path:
        return self.study / "ticks.json"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


def test_a_job_whose_time_is_up_asks_for_another_turn_and_ticks_nothing(here: Path) -> None:
    node = Node(here, scontrol=0, again=["no-such-verb"])
    assert node.end(AGAIN) == ""
    assert node.log.read_text().endswith("scontrol requeue 7_3\n")
    assert not Wishes(node.study).stands()


def test_where_requeueing_is_not_allowed_a_tick_has_to_submit_what_is_left(here: Path) -> None:
    node = Node(here, scontrol=1, again=["--version"])
    assert "not requeued" in node.end(AGAIN)
    assert Wishes(node.study).stands()


def test_a_tick_that_a_node_cannot_make_is_on_record_until_one_succeeds(here: Path) -> None:
    node = Node(here, scontrol=0, again=["sweep", "no-such-sweep", "--tick"])
    node.end(0)
    assert "sweep=no-such-sweep is not possible" in json.loads(node.refusal.read_text())["message"]
    assert json.loads(node.refusal.read_text())["node"] == "n1"
    node.wave.write_text(json.dumps({"again": ["--version"], "folder": str(here)}))
    node.end(0)
    assert not node.refusal.exists()


def test_where_somebody_drives_the_study_a_wish_is_enough(here: Path) -> None:
    node = Node(here, scontrol=0, again=["sweep", "no-such-sweep", "--tick"])
    with lease(node.study):
        node.end(0)
    assert Wishes(node.study).stands()
    assert not node.refusal.exists()


@pytest.mark.parametrize(
    ("body", "record"),
    [
        ("exit 0", ""),
        ("echo 'difair: SLURM is away' >&2; exit 1", "SLURM is away"),
        ("echo 'a warning' >&2; exit 1", ""),
        (
            "echo; echo 'Traceback (most recent call last):' >&2; echo 'ImportError: numpy' >&2; exit 1",
            "ImportError: numpy",
        ),
        ("exit 130", "exit code 130"),
        ("kill -9 $$", "exit code -9"),
        (r"printf 'difair: \xe9 \xff\n' >&2; exit 2", "\ufffd \ufffd"),
    ],
)
def test_a_tick_that_breaks_off_in_any_way_is_on_record(
    here: Path, monkeypatch: pytest.MonkeyPatch, body: str, record: str
) -> None:
    node = Node(here, scontrol=0, again=[])
    node.says(body)
    monkeypatch.setattr(after, "python", lambda: [str(here / "tick")])
    after._tick(node.study, {"again": [], "folder": str(here)})
    message = json.loads(node.refusal.read_text())["message"] if node.refusal.exists() else ""
    assert bool(message) == bool(record)
    assert record in message


def test_where_nothing_can_be_put_on_record_the_log_has_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    node = Node(here, scontrol=0, again=["--version"])
    monkeypatch.setattr(Wishes, "wish", full)
    monkeypatch.setattr(sys, "argv", ["after", str(node.study), str(node.wave), "0"])
    assert after.main() == 0
    assert capsys.readouterr().err == "difair: no tick: [Errno 122] Disk quota exceeded\n"
