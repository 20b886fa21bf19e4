"""plan() over random histories of jobs, ends, holds and ticks: what every plan keeps to, and that each study ends."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from difair_hpc.sweep.ends import BUDGETS, EndKind
from difair_hpc.sweep.plan import Limits
from tests.fuzz.profile import tries
from tests.sweep.simulated import STATUS_AFTER, SimulatedCluster

ANY = st.integers(min_value=0, max_value=10**6)
KINDS: list[EndKind] = list(STATUS_AFTER)


class Histories(RuleBasedStateMachine):
    """Whatever a cluster and its users can do, in any order; ticks come at any time and see an old or a new queue."""

    cluster: SimulatedCluster

    @initialize(
        runs=st.lists(st.sampled_from("abcdef"), max_size=7),
        to_propose=st.integers(0, 3),
        parallel=st.integers(1, 4),
        runs_per_job=st.sampled_from([1, 1, 2, None]),
        lanes=st.sampled_from([1, 1, 2]),
        before=st.integers(0, 3),
    )
    def study(self, runs: list[str], to_propose: int, before: int, **limits: Any) -> None:
        self.cluster = SimulatedCluster(runs, to_propose, Limits(budgets={**BUDGETS}, **limits), before=before)

    def job(self, which: int) -> int | None:
        live = self.cluster.live()
        return live[which % len(live)] if live else None

    def running(self, which: int) -> str | None:
        found = [run for run, state in self.cluster.runs.items() if state.status == "running"]
        return found[which % len(found)] if found else None

    @rule(told=st.booleans())
    def tick(self, told: bool) -> None:
        if told:
            self.cluster.queue_tells()
        self.cluster.tick()

    @rule(which=ANY, position=ANY)
    def a_job_begins_a_run(self, which: int, position: int) -> None:
        if (number := self.job(which)) is not None:
            runs = self.cluster.jobs[number].runs
            self.cluster.begin(number, runs[position % len(runs)])

    @rule(which=ANY)
    def a_run_is_done_or_has_diverged(self, which: int) -> None:
        if (run := self.running(which)) is not None:
            self.cluster.end(run, None)

    @rule(which=ANY, kind=st.sampled_from(KINDS), alike=st.sampled_from("xyz"))
    def an_attempt_ends(self, which: int, kind: EndKind, alike: str) -> None:
        if (run := self.running(which)) is not None:
            self.cluster.end(run, kind, alike)

    @rule(which=ANY)
    def a_job_ends_or_vanishes(self, which: int) -> None:
        if (number := self.job(which)) is not None:
            self.cluster.leave(number)

    @rule(which=ANY, held=st.booleans())
    def a_job_is_held_or_released(self, which: int, held: bool) -> None:
        if (number := self.job(which)) is not None:
            self.cluster.jobs[number].held = held

    @rule(which=ANY, hold=st.sampled_from(["", "held", "cancelled"]))
    def a_user_holds_cancels_or_releases(self, which: int, hold: Any) -> None:
        if self.cluster.trials:
            self.cluster.runs[self.cluster.trials[which % len(self.cluster.trials)]].hold = hold

    @rule(which=ANY)
    def a_process_that_no_job_knows_takes_a_run(self, which: int) -> None:
        waiting = [run for run, state in self.cluster.runs.items() if state.status not in ("running", "done")]
        if waiting:
            self.cluster.runs[waiting[which % len(waiting)]].status = "running"

    def teardown(self) -> None:
        """The bad luck ends: holds are lifted, jobs execute what they list, and the study must come to its end."""
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        for job in cluster.jobs.values():
            job.held = False
        bound = 3 * (len(cluster.trials) + cluster.to_propose) + 10
        for _ in range(bound):
            self._everybody_works()
            cluster.queue_tells()
            cluster.tick()
            if cluster.is_over():
                break
        assert cluster.is_over(), f"the study has not ended after {bound} fair ticks: {cluster.halted or 'it waits'}"
        cluster.tick()
        assert all(count == 1 for count in cluster.told.values())
        assert len(cluster.told) == len(cluster.trials), "each trial is told"
        assert cluster.tick() == [], "nothing is left to do"

    def _everybody_works(self) -> None:
        cluster = self.cluster
        for state in cluster.runs.values():
            state.hold = "" if state.hold == "held" else state.hold
        for run in cluster.runs:
            cluster.end(run, None)
        if cluster.halted:  # what a user does who has corrected the cause: difair resume
            for state in cluster.runs.values():
                state.ends.clear()
                state.unbegun, state.alike, state.last = 0, "", None
        for number in cluster.live():
            for run in cluster.jobs[number].runs:
                cluster.begin(number, run)
                cluster.end(run, None)
            cluster.jobs[number].begun = True
            cluster.leave(number)


TestHistories = Histories.TestCase
TestHistories.settings = tries(60, steps=40)
