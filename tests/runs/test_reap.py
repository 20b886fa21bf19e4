"""MLflow's word for each way in which an attempt may end, and for a run at work or done."""

from typing import get_args

import pytest

from difair_hpc.runs.folder import RunState, Status
from difair_hpc.runs.reap import end_of, status_of
from difair_hpc.sweep.ends import EndKind

BY_ITS_OWN_FAULT = {"failed", "out_of_memory", "died", "stalled"}


@pytest.mark.parametrize("status", ["stopped", "failed", "dead"])
@pytest.mark.parametrize("kind", get_args(EndKind))
def test_the_verdict_decides_whatever_the_attempt_said(status: Status, kind: EndKind) -> None:
    state = RunState(signature="a", status=status, kind=kind, heard=7.5)
    assert status_of(state) == ("FAILED" if kind in BY_ITS_OWN_FAULT else "KILLED")
    assert end_of(state) == 7.5


@pytest.mark.parametrize(
    ("status", "word"),
    [("running", "RUNNING"), ("done", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED"), ("dead", "FAILED")],
)
def test_before_the_verdict_the_attempt_is_believed(status: Status, word: str) -> None:
    assert status_of(RunState(signature="a", status=status)) == word


def test_the_end_is_that_of_the_result() -> None:
    assert end_of(RunState(signature="a", status="done", result={"finished": 9.5}, heard=8.0)) == 9.5
    assert end_of(RunState(signature="a", status="running", heard=8.0)) is None
    assert end_of(RunState(signature="a", status="dead", started=7.0)) == 7.0
