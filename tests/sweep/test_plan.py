"""What the plan does next: single decisions with their reasons, and histories of any length that stay in bounds."""

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difair_hpc.runs.folder import RunState, Status
from difair_hpc.sweep.ends import EndKind
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.plan import Action, Limits, TrialView, finished, next_step, plan

BUDGETS: dict[EndKind, int | None] = {"failed": 1, "died": 1, "out_of_memory": 2, "stalled": 2}
LIMITS = Limits(parallel=2, budgets=BUDGETS)


def trial(
    number: int,
    status: Status,
    *,
    ends: Mapping[EndKind, int] | None = None,
    last: EndKind | None = None,
    alike: str = "",
    unbegun: int = 0,
    told: bool = False,
    run: str = "",
    **more: object,
) -> TrialView:
    state = RunState(signature=run or f"run{number}", status=status, **more)  # type: ignore[arg-type]
    return TrialView(number=number, state=state, told=told, ends=ends or {}, last=last, alike=alike, unbegun=unbegun)


def planned(
    *trials: TrialView, to_propose: int = 0, jobs: Sequence[Job | str] = (), limits: Limits = LIMITS
) -> list[Action]:
    whole = [Job(runs=(job,), state="PENDING", reason="Priority") if isinstance(job, str) else job for job in jobs]
    return plan(trials, to_propose=to_propose, jobs=whole, limits=limits)


def brief(actions: list[Action]) -> list[tuple[str, int]]:
    return [(action.kind, action.trial) for action in actions]


def test_the_first_trials_take_the_free_slots() -> None:
    actions = planned(*(trial(number, "new") for number in range(4)))
    assert brief(actions) == [("submit", 0), ("submit", 1)]
    assert actions[0] == Action(kind="submit", signature="run0", trial=0, reason="it was never started")


def test_running_runs_and_jobs_on_their_way_hold_slots() -> None:
    assert planned(trial(0, "running"), trial(1, "running"), trial(2, "new")) == []
    assert planned(trial(0, "new"), trial(1, "running"), trial(2, "new"), jobs=("run0",)) == []
    # A job whose run is running already holds one slot, not two.
    assert brief(planned(trial(0, "running"), trial(1, "new"), trial(2, "new"), jobs=("run0",))) == [("submit", 1)]
    more_than_allowed = [trial(number, "running") for number in range(5)]
    assert planned(*more_than_allowed, trial(5, "new"), to_propose=3) == []


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (trial(0, "stopped", epoch=7), "it was stopped at epoch 7 and goes on from there"),
        (
            trial(0, "failed", ends={"failed": 1}, last="failed", attempts=3, message="ValueError: x"),
            "attempt 3 failed (ValueError: x); it may be tried again",
        ),
        (
            trial(0, "dead", ends={"died": 1}, last="died", attempts=2),
            "attempt 2 disappeared without an exit record; it goes on from its last checkpoint",
        ),
    ],
)
def test_interrupted_runs_are_submitted_again_with_a_reason(view: TrialView, reason: str) -> None:
    assert planned(view) == [Action(kind="submit", signature="run0", trial=0, reason=reason)]


def test_a_stop_is_no_failure_however_often_it_happens() -> None:
    assert brief(
        planned(trial(0, "stopped", ends={"stopped": 99, "preempted": 99, "node_failed": 99, "timed_out": 99}))
    ) == [("submit", 0)]


def test_more_failures_than_allowed_end_a_run() -> None:
    view = trial(0, "failed", ends={"failed": 2}, message="ValueError: x")
    expected = Action(kind="give_up", signature="run0", trial=0, reason="2 attempts failed: ValueError: x")
    assert planned(view) == [expected]
    silent = planned(trial(0, "dead", ends={"died": 2}))[0]
    assert silent.reason == "2 attempts died: its process disappeared without an exit record"
    assert planned(trial(0, "failed", ends={"failed": 2}, told=True)) == []
    assert finished(view, LIMITS)
    assert not finished(view, Limits(parallel=2))


def test_a_finished_run_is_told_once() -> None:
    done = planned(trial(0, "done"))
    assert done == [Action(kind="tell", signature="run0", trial=0, reason="its run is done")]
    assert planned(trial(0, "done", told=True)) == []
    assert brief(planned(trial(0, "done"), jobs=("run0",))) == [("tell", 0)]  # its process may have others to execute


def test_trials_that_share_a_run_submit_it_once_and_are_told_each() -> None:
    shared = [trial(number, "new", run="same") for number in range(3)]
    assert brief(planned(*shared, trial(3, "new"))) == [("submit", 0), ("submit", 3)]
    assert brief(planned(*(trial(n, "done", run="same") for n in range(3)))) == [("tell", 0), ("tell", 1), ("tell", 2)]


def test_a_sampler_is_asked_only_for_slots_that_nothing_waits_for() -> None:
    assert brief(planned(to_propose=5)) == [("propose", -1), ("propose", -1)]
    assert brief(planned(to_propose=1)) == [("propose", -1)]
    assert brief(planned(trial(0, "new"), to_propose=5)) == [("submit", 0), ("propose", -1)]
    assert brief(planned(trial(0, "new"), trial(1, "stopped"), to_propose=5)) == [("submit", 0), ("submit", 1)]
    assert brief(planned(trial(0, "running"), trial(1, "failed", ends={"failed": 1}), to_propose=5)) == [("submit", 1)]
    ended = planned(trial(0, "done", told=True), trial(1, "failed", ends={"failed": 2}, told=True), to_propose=1)
    assert brief(ended) == [("propose", -1)]


def test_a_held_job_holds_no_slot_and_its_run_is_not_submitted_again() -> None:
    held = Job(runs=("run0",), state="PENDING", reason="JobHeldUser")
    assert brief(planned(trial(0, "new"), trial(1, "new"), trial(2, "new"), jobs=[held])) == [
        ("submit", 1),
        ("submit", 2),
    ]


def test_a_held_run_waits_and_a_cancelled_one_is_done_without() -> None:
    held, cancelled = trial(0, "stopped", hold="held"), trial(1, "new", hold="cancelled")
    assert brief(planned(held, cancelled)) == [("give_up", 1)]
    assert not finished(held, LIMITS)
    assert finished(cancelled, LIMITS)
    assert planned(cancelled)[0].reason == "it was cancelled"


def test_a_run_that_was_out_of_memory_asks_for_more_and_is_given_up_in_the_end() -> None:
    once, twice = (trial(0, "dead", ends={"out_of_memory": count}, last="out_of_memory") for count in (1, 2))
    assert [action.memory_factor for action in planned(once)] == [1.5]
    assert [action.memory_factor for action in planned(twice)] == [2.25]
    assert planned(once)[0].reason == "at epoch 0, it was out of memory; its next job asks for more"
    assert brief(planned(trial(0, "dead", ends={"out_of_memory": 3}))) == [("give_up", 0)]


def test_runs_that_fail_alike_halt_the_study() -> None:
    alike = [trial(number, "failed", ends={"failed": 1}, alike="KeyError at a.py:1") for number in range(3)]
    assert brief(planned(*alike[:2], trial(3, "new"))) == [("submit", 0), ("submit", 1)]
    (halt,) = planned(*alike, trial(3, "new"), to_propose=2)
    assert (halt.kind, halt.reason) == ("halt", "3 runs failed alike: KeyError at a.py:1")
    assert "halt" not in [action.kind for action in planned(*alike, limits=Limits(parallel=2, alike=4))]


def test_jobs_that_end_before_their_run_begins_halt_the_study() -> None:
    assert brief(planned(trial(0, "new", unbegun=2))) == [("submit", 0)]
    (halt,) = planned(trial(0, "new", unbegun=3), trial(1, "new"))
    assert halt.reason == "3 jobs of run run0 ended before the run began"


def test_lanes_of_a_job_take_runs_side_by_side() -> None:
    limits = Limits(parallel=2, lanes=3)
    actions = planned(*(trial(number, "new") for number in range(7)), limits=limits)
    assert [(action.signature, action.more) for action in actions] == [
        ("run0", ("run1", "run2")),
        ("run3", ("run4", "run5")),
    ]
    # one job of three lanes is at work on one run: two lanes are still to come for what waits
    states = [trial(0, "running"), *(trial(number, "new") for number in range(1, 4))]
    (more,) = planned(*states, jobs=[Job(runs=("run0", "run1", "run2"))], limits=limits)
    assert more.signature == "run3"
    assert len(planned(to_propose=9, limits=limits)) == 6


@pytest.mark.parametrize(
    ("view", "jobs", "words"),
    [
        (trial(0, "done"), (), "nothing: it is done"),
        (trial(0, "running"), (), "it goes on"),
        (trial(0, "new", hold="held"), (), "nothing: it is held; difair release run0 lets it go on"),
        (trial(0, "new", hold="cancelled"), (), "nothing: it was cancelled; difair resume run0 starts it again"),
        (
            trial(0, "dead", ends={"died": 9}),
            (),
            "nothing: 9 attempts died: its process disappeared without an exit record; ",
        ),
        (
            trial(0, "new"),
            (Job(runs=("run0",), id="7_0", state="PENDING", reason="Priority"),),
            "job 7_0 is to execute it (jobs of higher priority are before it)",
        ),
        (
            trial(0, "stopped", ends={"preempted": 1}, last="preempted", epoch=4),
            (),
            "the next tick submits it: at epoch 4, a job of higher priority took its place; it goes on from",
        ),
    ],
)
def test_what_happens_next_is_said_in_words(view: TrialView, jobs: tuple[Job, ...], words: str) -> None:
    assert next_step(view, jobs, LIMITS).startswith(words)


class World:
    """A study that lives through whatever hypothesis throws at it."""

    def __init__(self, signatures: list[str], to_propose: int, limits: Limits) -> None:
        self.limits = limits
        self.to_propose = to_propose
        self.states = {signature: RunState(signature=signature, status="new") for signature in signatures}
        self.failures = dict.fromkeys(signatures, 0)
        self.trials = list(signatures)
        self.told: set[int] = set()
        self.jobs: set[str] = set()

    def views(self) -> list[TrialView]:
        return [
            TrialView(number=n, state=self.states[run], ends={"died": self.failures[run]}, told=n in self.told)
            for n, run in enumerate(self.trials)
        ]

    def tick(self, *, jobs_are_forgotten: bool) -> None:
        if jobs_are_forgotten:  # the command died and was started again: only the run folders tell
            self.jobs &= set()
        for action in planned(*self.views(), to_propose=self.to_propose, jobs=sorted(self.jobs), limits=self.limits):
            if action.kind == "submit":
                in_flight = self.jobs | {run for run, state in self.states.items() if state.status == "running"}
                assert action.signature not in in_flight, "one live job per run where a job has one"
                self.jobs.add(action.signature)
                assert len(in_flight | {action.signature}) <= self.limits.parallel, "no more than allowed at once"
            elif action.kind == "propose":
                self.propose()
            else:
                assert action.trial not in self.told, "told once"
                self.told.add(action.trial)
            assert action.reason

    def propose(self) -> None:
        run = f"proposed{len(self.trials)}"
        self.trials.append(run)
        self.states[run] = RunState(signature=run, status="new")
        self.failures[run] = 0
        self.to_propose -= 1

    def begin(self, run: str) -> None:
        self.states[run] = dataclasses.replace(self.states[run], status="running")

    def end(self, run: str, status: Status) -> None:
        self.states[run] = dataclasses.replace(self.states[run], status=status)
        self.failures[run] += status in ("failed", "dead")
        self.jobs.discard(run)


ENDS: tuple[Status, ...] = ("stopped", "failed", "dead", "done")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_history_stays_in_bounds_and_ends(data: st.DataObject) -> None:
    limits = Limits(parallel=data.draw(st.integers(1, 3)), budgets={"died": data.draw(st.integers(0, 2))})
    runs = data.draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6))
    world = World(runs, data.draw(st.integers(0, 3)), limits)
    for tick in range(200):
        world.tick(jobs_are_forgotten=tick < 20 and data.draw(st.booleans()))
        if not world.jobs and not world.to_propose and all(finished(view, limits) for view in world.views()):
            break
        for run in sorted(world.jobs | {run for run, state in world.states.items() if state.status == "running"}):
            if tick >= 20:  # the bad luck ends
                world.end(run, "done")
            elif data.draw(st.booleans()):
                world.begin(run)
            elif data.draw(st.booleans()):
                world.end(run, data.draw(st.sampled_from(ENDS)))
    else:
        pytest.fail("the study never ended")
    assert world.told == set(range(len(world.trials)))


def test_a_run_that_is_held_and_leaves_is_no_sign_that_another_job_has_begun() -> None:
    states = [trial(0, "running", hold="held"), trial(1, "new")]
    assert planned(*states, jobs=["run0", "run1"]) == [], "the job of run1 waits: it is not submitted twice"
