"""What the plan makes of runs that a stage has pruned: its own and those of others."""

import dataclasses

import pytest

from difair_hpc.runs.folder import Status
from difair_hpc.sweep.plan import Action, finished, next_step
from tests.sweep.test_plan import LIMITS, brief, planned, trial

WORSE = "closed_set_accuracy 0.4000 at epoch 200; 0.5000 was needed among the 2 runs that had come so far"


def test_a_pruned_run_is_stopped_with_a_reason_and_holds_no_slot() -> None:
    worse = dataclasses.replace(trial(0, "running"), pruned=WORSE)
    actions = planned(worse, trial(1, "running"), trial(2, "new"), jobs=("run0", "run1"))
    assert actions[0] == Action(kind="prune", signature="run0", trial=0, reason=WORSE)
    assert brief(actions) == [("prune", 0), ("submit", 2)]
    assert finished(worse, LIMITS)


@pytest.mark.parametrize("status", ["stopped", "failed", "dead"])
def test_a_pruned_run_is_not_submitted_again_and_told_once(status: Status) -> None:
    worse = dataclasses.replace(trial(0, status, hold="pruned", ends={"failed": 9}, told=True), pruned=WORSE)
    assert planned(worse) == []
    assert next_step(worse, [], LIMITS) == ("nothing: its stage has pruned it; difair resume run0 trains it to its end")


def test_the_verdict_stands_where_somebody_else_trained_the_run_to_its_end() -> None:
    assert brief(planned(dataclasses.replace(trial(0, "done"), pruned=WORSE))) == [("tell", 0)]


def test_a_run_that_another_stage_has_pruned_is_a_run_like_any_other() -> None:
    (action,) = planned(trial(0, "stopped", hold="pruned", epoch=200))
    assert action.kind == "submit"
    assert action.reason == "it was stopped at epoch 200 and goes on from there"
    assert planned(trial(0, "stopped", hold="held", epoch=200)) == []
