"""The drill as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.drill.drill import Outcome, patience, planned
from difair_hpc.drill.kinds import KINDS, NEEDS
from difair_hpc.drill.outcome import Record
from difair_hpc.drill.scene import PATIENCE_SECONDS
from tests import short
from tests.drill.made import drilled
from tests.waiting import HANG_SECONDS, eventually

LOCAL = sum(not {"slurm", "testbed"} & set(kind.needs) for kind in KINDS.values())
"""Kinds of faults that are possible without SLURM."""
RECORD = Record(number=1, kind="kill", run="ab", what="", time=0.0, held=0.0, seconds=4.0, lost=1)


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, True),
        ({"differences": ("run ab: epochs: 3 undisturbed, 2 in the drill",)}, False),
        ({"missing": 1}, False),
        ({"records": (Record(**{**{f: getattr(RECORD, f) for f in Record.__slots__}, "problem": "no"}),)}, False),
    ],
)
def test_a_drill_is_sound_where_all_was_injected_survived_and_equal(changes: dict[str, object], sound: bool) -> None:  # noqa: FBT001
    content: dict[str, object] = {"records": (RECORD,), "differences": (), "missing": 0, "seconds": 1.0, **changes}
    assert Outcome(**content).sound is sound  # type: ignore[arg-type]


def test_a_dry_run_lists_the_faults_and_what_is_left_out_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", "-n", "--faults", "3", "--kinds", "kill,term,node", f"root={tmp_path / 'out'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"]
    assert {line.split()[1] for line in lines[:3]} == {"kill", "term"}
    assert lines[3:] == ["left out: node, it needs cluster=NAME, a profile of SLURM jobs"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kinds", "kil"], "--kinds=kil is not possible: allowed is one or more of kill, term, command"),
        (["--faults", "0"], "--faults=0 is not possible"),
        (["--kinds", "node"], "--kinds=node is not possible: allowed is a kind that is possible here"),
        (["tracking_uri=http://h:1"], "tracking_uri=http://h:1 is not possible: allowed is nothing"),
        (["storage=postgresql://h/d"], "storage=postgresql://h/d is not possible: allowed is nothing"),
        (["cluster=nowhere"], "cluster=nowhere is not possible"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "-n", *words]) == 2
    assert message in capsys.readouterr().err


def test_what_a_user_sets_comes_after_what_the_drill_sets() -> None:
    drill = planned(["cluster.parallel=1", "protocol.epochs=7", "cluster.checkpoint_epochs=3"], count=1, seed=0)
    assert drill.profile.parallel == 1
    assert drill.execution.checkpoint_epochs == 3
    assert drill.words[-3:] == ("cluster.parallel=1", "protocol.epochs=7", "cluster.checkpoint_epochs=3")


def test_a_study_may_take_as_long_to_its_end_as_it_has_to() -> None:
    assert patience(10.0) == PATIENCE_SECONDS
    assert patience(1200.0) > 1200.0, "a single fault may come in its first minute"


def test_every_need_of_a_kind_can_be_explained() -> None:
    assert {need for kind in KINDS.values() for need in kind.needs} <= set(NEEDS)


@pytest.mark.slow
def test_ctrl_c_ends_all_that_the_drill_has_started(tmp_path: Path) -> None:
    words = ["drill", "--faults", "1", "--kinds", "kill", "protocol.epochs=300", f"root={tmp_path}"]
    environment = {**os.environ, "DIFAIR_DATA": str(tmp_path)}
    drill = subprocess.Popen(
        [sys.executable, "-m", "difair_hpc", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    attempts = "drill-0/quiet/runs/*/attempts/0001.json"
    try:
        assert eventually(lambda: len(list(tmp_path.glob(attempts))) == 2)
        pids = [json.loads(path.read_text())["pid"] for path in tmp_path.glob(attempts)]
        drill.send_signal(signal.SIGINT)
        said, _ = drill.communicate(timeout=HANG_SECONDS)
    finally:
        drill.terminate()  # it may not have heard the signal, and would train for long
        drill.wait()
    assert drill.returncode == 130, said
    assert b"interrupted" in said
    assert not [pid for pid in pids if works_for(pid, tmp_path)]


def works_for(pid: int, root: Path) -> bool:
    """Whether the number is that of a living process of the drill under this root."""
    try:
        return f"DIFAIR_DATA={root}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("faults", "epochs"), [(LOCAL, 20), pytest.param(30, 60, marks=pytest.mark.heavy("drill"))], ids=["each kind", "30"]
)
def test_a_study_under_faults_ends_like_one_that_nothing_happened_to(tmp_path: Path, faults: int, epochs: int) -> None:
    """Its runs pause for a second of each epoch: until the last fault they train, in all, for 60 epochs or 120."""
    words = [*short.overrides(epochs, protocol__evaluate_every=epochs), "cluster.pause_seconds=0.25"]
    outcome = drilled("--faults", str(faults), f"root={tmp_path}", *words, "cluster.precision=float32", cwd=tmp_path)
    assert outcome["differences"] == []
    assert outcome["code"] == 0, [record for record in outcome["records"] if record["problem"]]
    assert len(outcome["records"]) == faults
    kinds = Counter(record["kind"] for record in outcome["records"])
    assert set(kinds) | set(outcome["left_out"]) == set(KINDS)
    assert max(record["lost"] for record in outcome["records"] if record["kind"] in ("kill", "term")) <= 1
    assert len((tmp_path / "drill-0" / "faults.jsonl").read_text().splitlines()) == faults
