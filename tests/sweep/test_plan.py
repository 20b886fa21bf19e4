"""What the plan does next: single decisions with their reasons, and histories of any length that stay in bounds."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difair_hpc.runs.folder import RunState, Status
from difair_hpc.sweep.plan import Action, Limits, TrialView, finished, plan

LIMITS = Limits(parallel=2, failures_allowed=1)


def trial(
    number: int, status: Status, *, failures: int = 0, told: bool = False, run: str = "", **more: object
) -> TrialView:
    state = RunState(signature=run or f"run{number}", status=status, **more)  # type: ignore[arg-type]
    return TrialView(number=number, state=state, failures=failures, told=told)


def planned(
    *trials: TrialView, to_propose: int = 0, jobs: tuple[str, ...] = (), limits: Limits = LIMITS
) -> list[Action]:
    return plan(trials, to_propose=to_propose, jobs=[[run] for run in jobs], limits=limits)


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
            trial(0, "failed", failures=1, attempts=3, message="ValueError: x"),
            "attempt 3 failed (ValueError: x); it may be tried again",
        ),
        (
            trial(0, "dead", failures=1, attempts=2),
            "attempt 2 died without a word; it goes on from its last checkpoint",
        ),
    ],
)
def test_interrupted_runs_are_submitted_again_with_a_reason(view: TrialView, reason: str) -> None:
    assert planned(view) == [Action(kind="submit", signature="run0", trial=0, reason=reason)]


def test_a_stop_is_no_failure_however_often_it_happens() -> None:
    assert brief(planned(trial(0, "stopped", failures=99))) == [("submit", 0)]


def test_more_failures_than_allowed_end_a_run() -> None:
    view = trial(0, "failed", failures=2, message="ValueError: x")
    expected = Action(kind="give_up", signature="run0", trial=0, reason="2 attempts failed: ValueError: x")
    assert planned(view) == [expected]
    silent = planned(trial(0, "dead", failures=2))[0]
    assert silent.reason == "2 attempts failed: it died without a word"
    assert planned(trial(0, "failed", failures=2, told=True)) == []
    assert finished(view, LIMITS)
    assert not finished(view, Limits(parallel=2, failures_allowed=2))


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
    assert brief(planned(trial(0, "running"), trial(1, "failed", failures=1), to_propose=5)) == [("submit", 1)]
    ended = planned(trial(0, "done", told=True), trial(1, "failed", failures=2, told=True), to_propose=1)
    assert brief(ended) == [("propose", -1)]


def test_a_job_goes_on_with_the_runs_that_wait() -> None:
    waiting = [trial(number, "new") for number in range(4)]
    first, second = planned(*waiting, limits=Limits(parallel=2, failures_allowed=1, runs_per_job=None))
    assert (first.signature, *first.more) == ("run0", "run1", "run2", "run3")
    assert (second.signature, *second.more) == ("run1", "run2", "run3", "run0")
    first, second = planned(*waiting, limits=Limits(parallel=2, failures_allowed=1, runs_per_job=2))
    assert (first.more, second.more) == (("run1",), ("run2",))


def test_a_job_holds_one_slot_however_many_runs_it_lists() -> None:
    states = [trial(0, "running"), trial(1, "new"), trial(2, "new"), trial(3, "new")]
    # run3 came later than the job: the free slot is for it first
    assert brief(plan(states, to_propose=0, jobs=[["run0", "run1", "run2"]], limits=LIMITS)) == [("submit", 3)]


def test_a_free_slot_helps_with_what_a_job_lists_and_has_not_begun() -> None:
    states = [trial(0, "running"), trial(1, "new"), trial(2, "new")]
    jobs = [["run0", "run1", "run2"]]
    assert brief(plan(states, to_propose=0, jobs=jobs, limits=LIMITS)) == [("submit", 1)]
    # two jobs that have not begun anything are enough for two runs
    assert plan(states[1:], to_propose=0, jobs=[["run1", "run2"], ["run2", "run1"]], limits=LIMITS) == []


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
            TrialView(number=n, state=self.states[run], failures=self.failures[run], told=n in self.told)
            for n, run in enumerate(self.trials)
        ]

    def tick(self, *, jobs_are_forgotten: bool) -> None:
        if jobs_are_forgotten:  # the command died and was started again: only the run folders tell
            self.jobs &= set()
        for action in plan(
            self.views(), to_propose=self.to_propose, jobs=[[run] for run in self.jobs], limits=self.limits
        ):
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
    limits = Limits(parallel=data.draw(st.integers(1, 3)), failures_allowed=data.draw(st.integers(0, 2)))
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
