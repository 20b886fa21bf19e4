"""`difair sweep` while SLURM does not answer: it waits, says so once, and a job's last step keeps its tick."""

import json
import time
from pathlib import Path

import pytest

from difair_hpc.cli import drive, main, sweep
from difair_hpc.sweep import commands
from tests.cli.made import say, set_up_site
from tests.cli.test_detach import SWEEP, WORDS

FAILS_AT_FIRST = r"""
n=$(cat {base}/asked 2>/dev/null || echo 0); echo $((n + 1)) > {base}/asked
[ $n -ge {times} ] || {{ printf 'failure %s: standby, caf\351\n' $n >&2; exit 1; }}
{after}
"""
TICK = ("sweep", "one", "cluster=v100", "tracking_uri=none", "--tick")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand on a site whose commands the test writes."""
    set_up_site(tmp_path, monkeypatch, SWEEP)
    return tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for moments."""
    monkeypatch.setattr(commands, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(drive, "TICK_SECONDS", {"slurm": 0.001})


def fails_at_first(site: Path, tool: str, times: int, after: str = "exit 0") -> None:
    say(site, tool, FAILS_AT_FIRST.format(base=site, times=times, after=after))


@pytest.mark.parametrize("tool", ["squeue", "sbatch"])
def test_the_last_step_of_a_job_waits_for_slurm_and_ticks(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setenv("DIFAIR_LEAVING", "1")
    say(site, "sbatch", "echo 4711")
    if tool == "squeue":
        fails_at_first(site, "squeue", 4)
    else:
        monkeypatch.setattr("difair_hpc.sweep.slurm.SETTLING_SECONDS", 0.0)
        fails_at_first(site, "sbatch", 4, "echo 4711")
    assert main(list(TICK)) == 0
    out, err = capsys.readouterr()
    assert out.count("warning: ") == 1, "said once, whatever words it finds later"
    assert "failure 0: " in out
    assert "trying again" in out
    assert "it answers again, after " in out
    assert "jobs carry the study on" in out
    assert err == ""
    answers = sorted((site / "outputs/studies/one/waves").glob("????.answer.json"))
    assert json.loads(answers[-1].read_text())["id"] == "4711"


def test_a_job_waits_no_longer_than_it_may_and_leaves_a_word(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFAIR_LEAVING", "1")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 60))
    say(site, "squeue", "echo 'Zero Bytes were transmitted or received' >&2; exit 1")
    assert main(list(TICK)) == 1
    assert "difair: nothing was submitted" in capsys.readouterr().err, "which sweep/after.py puts on record"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, 0),
        ({"SLURM_JOB_END_TIME": "5000"}, 0),
        ({"DIFAIR_LEAVING": "1"}, 7200),
        ({"DIFAIR_LEAVING": "1", "SLURM_JOB_END_TIME": "1500"}, 380),
        ({"DIFAIR_LEAVING": "1", "SLURM_JOB_END_TIME": "900"}, 7200),
    ],
)
def test_how_long_a_tick_may_wait(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], seconds: float) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sweep._job_patience() == seconds


def test_a_mistake_ends_the_command_at_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(site, "squeue", """echo "squeue: unrecognized option '--me'" >&2; exit 1""")
    assert main(list(WORDS)) == 1
    assert "difair: squeue failed: squeue: unrecognized option '--me'" in capsys.readouterr().err
