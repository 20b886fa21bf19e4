"""Why an attempt ended: the evidence in its order, failures that are alike, and nodes that fail runs."""

from typing import Any

import pytest

from difair_hpc.sweep.ends import (
    BUDGETS,
    MEANINGS,
    Accident,
    EndKind,
    Evidence,
    bad_nodes,
    fingerprint,
    kind_of,
    over_budget,
)

# What slurmstepd of SLURM 22.05 wrote into the logs of jobs on the testbed.
PREEMPTED = "slurmstepd: error: *** JOB 31 ON v100-1 CANCELLED AT 2026-11-24T07:00:00 DUE TO PREEMPTION ***"
REQUEUED = "slurmstepd: error: *** STEP 6.0 ON v100-1 CANCELLED AT 2026-11-24T07:00:00 DUE TO JOB REQUEUE ***"
TIME_LIMIT = "slurmstepd: error: *** JOB 8 ON rtx-1 CANCELLED AT 2026-11-24T07:00:00 DUE TO TIME LIMIT ***"
NODE = "slurmstepd: error: *** JOB 8 ON rtx-1 CANCELLED AT 2026-11-24T07:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD LOG"
SCANCEL = "slurmstepd: error: *** JOB 8 ON rtx-1 CANCELLED AT 2026-11-24T07:00:00 ***"
OOM = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=9.0. Some of your processes may have been killed"


def end(reason: str = "stopped", **more: str) -> dict[str, Any]:
    return {"reason": reason, "signal": "", "message": "", "trace": "", **more}


@pytest.mark.parametrize(
    ("last_word", "evidence", "kind"),
    [
        (end(signal="SIGTERM"), Evidence(state="PREEMPTED"), "preempted"),
        (end(signal="SIGTERM"), Evidence(log=PREEMPTED), "preempted"),
        (end(signal="SIGTERM"), Evidence(log=REQUEUED), "requeued"),
        (end(signal="SIGTERM"), Evidence(started_again=True), "requeued"),
        (end(signal="SIGUSR2"), Evidence(), "timed_out"),
        (end(signal="time"), Evidence(started_again=True), "timed_out"),
        (end(signal="SIGUSR2"), Evidence(log=REQUEUED), "timed_out"),  # it requeued itself
        (None, Evidence(state="TIMEOUT"), "timed_out"),
        (None, Evidence(log=TIME_LIMIT), "timed_out"),
        (None, Evidence(state="TIMEOUT", moved=False), "stalled"),
        (None, Evidence(state="NODE_FAIL"), "node_failed"),
        (None, Evidence(log=NODE), "node_failed"),
        (None, Evidence(started_again=True), "node_failed"),
        (None, Evidence(state="OUT_OF_MEMORY"), "out_of_memory"),
        (None, Evidence(log=OOM), "out_of_memory"),
        (end("failed", message="MemoryError: "), Evidence(), "out_of_memory"),
        (
            end("failed", message="RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"),
            Evidence(),
            "out_of_memory",
        ),
        (end("failed", message="OutOfMemoryError: CUDA out of memory"), Evidence(), "failed"),
        (end(signal="SIGTERM"), Evidence(state="CANCELLED"), "cancelled"),
        (end(signal="SIGTERM"), Evidence(log=SCANCEL), "cancelled"),
        (end(signal="held"), Evidence(), "held"),
        (end(signal="cancelled"), Evidence(), "cancelled"),
        (end(signal="SIGINT"), Evidence(), "stopped"),
        (end("superseded"), Evidence(), "superseded"),
        (end("failed", message="KeyError: 'x'"), Evidence(state="FAILED"), "failed"),
        (None, Evidence(state="COMPLETED"), "died"),
        (None, Evidence(), "died"),
    ],
)
def test_the_type_of_an_end(last_word: dict[str, Any] | None, evidence: Evidence, kind: EndKind) -> None:
    found, proof = kind_of(last_word, evidence)
    assert found == kind
    assert proof, "it says how that is known"


def test_every_type_has_a_meaning_and_a_budget() -> None:
    assert MEANINGS.keys() == BUDGETS.keys()
    free = {kind for kind, budget in BUDGETS.items() if budget is None}
    assert {"preempted", "node_failed", "requeued", "timed_out"} <= free, "what SLURM does costs no retry"


def test_a_budget_is_spent_one_end_later() -> None:
    assert over_budget({"failed": 2}, BUDGETS) is None
    assert over_budget({"failed": 3}, BUDGETS) == "failed"
    assert over_budget({"preempted": 1000}, BUDGETS) is None


def test_failures_are_alike_by_where_they_were_raised() -> None:
    trace = 'Traceback\n  File "/{}/run.py", line 7, in load\n    x\n  File "/{}/data.py", line 9, in read\nKeyError'
    first = end("failed", message="KeyError: 'a'", trace=trace.format("x", "y"))
    second = end("failed", message="KeyError: 'b'", trace=trace.format("z", "z"))
    assert fingerprint(first) == fingerprint(second) == "KeyError at run.py:7 > data.py:9"
    assert fingerprint(end("failed", message="data sets are missing")) == "data sets are missing"
    assert fingerprint(end("stopped")) == fingerprint(None) == ""


def accident(run: str, node: str, *, time: float = 1000.0, alike: str = "") -> Accident:
    return Accident(run=run, node=node, time=time, alike=alike)


def test_a_node_on_which_several_runs_fail_is_bad_for_a_while() -> None:
    both = [accident("a", "n1"), accident("b", "n1"), accident("c", "n2")]
    assert bad_nodes(both, now=1010.0, after=2, minutes=60) == {"n1": "2 runs failed on it within 60 minutes"}
    assert bad_nodes(both, now=1000.0 + 3601, after=2, minutes=60) == {}
    assert bad_nodes([accident("a", "n1"), accident("a", "n1")], now=1010.0, after=2, minutes=60) == {}
    assert bad_nodes([accident("a", ""), accident("b", "")], now=1010.0, after=2, minutes=60) == {}


def test_what_fails_on_other_nodes_too_is_no_fault_of_a_node() -> None:
    everywhere = [
        accident(run, node, alike="KeyError at a.py:1") for run, node in (("a", "n1"), ("b", "n1"), ("c", "n2"))
    ]
    assert bad_nodes(everywhere, now=1010.0, after=2, minutes=60) == {}
    assert set(bad_nodes(everywhere[:2], now=1010.0, after=2, minutes=60)) == {"n1"}
