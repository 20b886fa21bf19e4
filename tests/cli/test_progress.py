"""The line that says where a study stands: its counts add up to the runs of the stage."""

import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from difair_hpc.cli.progress import StudyProgress
from difair_hpc.runs.folder import RunState
from difair_hpc.sweep.describe import StageView
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.plan import TrialView
from difair_hpc.sweep.spec import Axis, StageSpec

STAGE = StageSpec(name="coarse", search="grid", space=(Axis(key="method.alpha", values=(1, 2, 3)),))
ALL = ("run0", "run1", "run2")


def headline(states: Sequence[str], jobs: Sequence[Sequence[str]] = (), *, planned: int = 3, submitted: int = 0) -> str:
    """Return what is said of a stage; a state is a status, or how a run is held back, or pruned."""
    trials = []
    for number, word in enumerate(states):
        hold = word if word in ("held", "cancelled") else ""
        status = "stopped" if hold or word == "pruned" else word
        state = RunState(signature=f"run{number}", status=status, hold=hold)  # type: ignore[arg-type]
        trials.append(TrialView(number=number, state=state, told=False, pruned="why" if word == "pruned" else ""))
    view = StageView(
        stage=STAGE,
        book="coarse-1",
        axes=STAGE.space,
        planned=planned,
        trials=tuple(trials),
        parameters={number: {} for number in range(len(trials))},
        epochs=2,
        jobs=tuple(Job(runs=tuple(runs)) for runs in jobs),
        submitted=submitted,
        complete=False,
    )
    return StudyProgress(Console(), ["coarse"])._headline(view)


@pytest.mark.parametrize(
    ("states", "jobs", "submitted", "said"),
    [
        # Three processes of one wave list the same runs; two are done, and their processes leave.
        (("done", "done", "new"), [ALL] * 3, 0, "2 done, 0 running, 0 left, 1 starting"),
        (("done", "done", "done"), [ALL] * 3, 0, "3 done, 0 running, 0 left"),
        (("done", "running", "new"), [ALL] * 2, 0, "1 done, 1 running, 0 left, 1 starting"),
        (("done", "running", "new"), [ALL], 0, "1 done, 1 running, 1 left"),
        (("new", "new", "new"), [], 2, "0 done, 0 running, 1 left, 2 starting"),
        (("new", "new", "new"), [["run0"], ["run0"]], 2, "0 done, 0 running, 0 left, 3 starting"),
        (("done", "failed", "new"), [], 0, "1 done, 0 running, 1 left, 1 failed"),
        (("done", "failed", "dead"), [["run1"]], 0, "1 done, 0 running, 0 left, 1 starting, 1 dead"),
        (("done", "held", "cancelled"), [ALL], 0, "1 done, 0 running, 0 left, 1 held, 1 cancelled"),
        (("pruned", "running", "new"), [["run1"]], 0, "0 done, 1 running, 1 left, 1 pruned"),
        (("done",), [], 0, "1 done, 0 running, 2 left"),
    ],
)
def test_the_counts_add_up(states: Sequence[str], jobs: Sequence[Sequence[str]], submitted: int, said: str) -> None:
    line = headline(states, jobs, submitted=submitted)
    assert line.startswith(f"coarse (stage 1 of 1): {said}, stage ends in")
    assert sum(int(count) for count in re.findall(r"(\d+) [a-z]+(?=,)", line.partition(": ")[2])) == 3
