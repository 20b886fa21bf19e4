"""The words by which a job starts: those of a task of a wave, and those of a local job."""

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.runs import job
from difair_hpc.runs.place import AGAIN
from difair_hpc.runs.stop import TIME


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Note what would be executed; a run stops because its time is up."""
    seen: list[dict[str, Any]] = []

    def run_job(root: str, signatures: list[str], execution: dict[str, Any], **rest: Any) -> str:
        seen.append({"root": root, "runs": signatures, "execution": execution, **rest})
        return TIME

    monkeypatch.setattr(job, "run_job", run_job)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_PROCID", "1")
    return seen


def test_a_local_job_is_told_its_runs_on_standard_input_wherever_the_command_was_typed(
    monkeypatch: pytest.MonkeyPatch, executed: list[dict[str, Any]]
) -> None:
    told = {"runs": ["b", "a"], "execution": {"device": "cpu"}}
    monkeypatch.setattr(sys, "argv", ["job.py", "/root", "-", "local-1"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(told).encode())))
    assert job.main() == 0
    assert executed == [{"root": "/root", "local": "local-1", **told}]


def test_a_task_of_a_wave_reads_its_runs_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executed: list[dict[str, Any]]
) -> None:
    wave = tmp_path / "studies/mini/waves/0001.json"
    wave.parent.mkdir(parents=True)
    wave.write_text(json.dumps({"jobs": [["x"], ["a", "b", "c"]], "execution": {"device": "cpu"}, "minutes": 7}))
    monkeypatch.setattr(sys, "argv", ["job.py", "/root", str(wave)])
    assert job.main() == AGAIN
    (seen,) = executed
    assert seen["runs"] == ["b", "c", "a"], "each process of a task begins with another run"
    assert (seen["minutes"], seen["slurm"], seen["server"]) == (7, True, "")
    assert seen["study"] == tmp_path / "studies/mini"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file to somebody else")
def test_a_wave_that_is_somebody_elses_executes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    executed: list[dict[str, Any]],
) -> None:
    wave = tmp_path / "studies/mini/waves/0001.json"
    wave.parent.mkdir(parents=True)
    wave.write_text(json.dumps({"jobs": [["x"], ["a"]], "execution": {}, "minutes": 7}))
    os.chown(wave, 4711, -1)
    monkeypatch.setattr(sys, "argv", ["job.py", str(tmp_path), str(wave)])
    assert job.main() == 1
    assert not executed
    assert "is not yours any more" in capsys.readouterr().err
