"""A cluster that is made up: jobs that list runs, attempts that end in every way, and a queue that is late to tell."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from difair_hpc.runs.folder import RunState
from difair_hpc.runs.marks import Hold
from difair_hpc.sweep.ends import EndKind
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.plan import Action, Limits, TrialView, finished, plan

STATUS_AFTER: Mapping[EndKind, str] = {
    "preempted": "stopped", "requeued": "stopped", "timed_out": "stopped", "stalled": "stopped", "node_failed": "dead",
    "out_of_memory": "dead", "cancelled": "dead", "held": "stopped", "stopped": "stopped", "superseded": "dead",
    "failed": "failed", "died": "dead",
}  # fmt: skip
"""What a run folder says after each type of end."""


@dataclass(kw_only=True, slots=True)
class SimulatedRun:
    """The truth about one run, and what of it is on record."""

    status: str = "new"
    hold: Hold = ""
    ends: Counter[EndKind] = field(default_factory=Counter)
    last: EndKind | None = None
    alike: str = ""
    unbegun: int = 0
    job: int | None = None
    """The job whose process works on it; None while it runs: one that nobody knows."""


@dataclass(kw_only=True, slots=True)
class SimulatedJob:
    """One job: alive, or gone and not yet missed by the queue."""

    runs: tuple[str, ...]
    alive: bool = True
    shown: bool = True
    held: bool = False
    begun: bool = False
    """Whether its process ever claimed a run."""


class SimulatedCluster:
    """Runs and jobs of one stage, and ticks that plan for them; each tick checks what must be true of every plan."""

    def __init__(self, runs: Sequence[str], to_propose: int, limits: Limits, *, before: int = 0) -> None:
        self.limits = limits
        self.trials = [*runs]
        self.to_propose = to_propose
        self.runs = {run: SimulatedRun() for run in runs}
        self.jobs: dict[int, SimulatedJob] = {}
        self.told: Counter[int] = Counter()
        self.given_up: set[int] = set()
        self.halted = ""
        self.before = [Job(runs=(f"before{number}",), id=f"b{number}", state="RUNNING") for number in range(before)]
        """Jobs of the stage before that have executed their runs, and that the queue shows for as long as it likes."""

    def views(self) -> list[TrialView]:
        return [self._view(number, self.runs[run], run) for number, run in enumerate(self.trials)]

    def _view(self, number: int, run: SimulatedRun, name: str) -> TrialView:
        state = RunState(signature=name, status=run.status, hold=run.hold)  # type: ignore[arg-type]
        told = bool(self.told[number])
        return TrialView(
            number=number,
            state=state,
            told=told,
            ends=run.ends,
            last=run.last,
            alike=run.alike if run.status == "failed" else "",
            unbegun=run.unbegun,
        )

    def shown(self) -> list[Job]:
        """Return the jobs as the queue tells of them: those that are gone for as long as it is late."""
        return [
            Job(
                runs=job.runs,
                id=str(number),
                state="PENDING" if job.held else "RUNNING",
                reason="JobHeldUser" if job.held else "None",
            )
            for number, job in self.jobs.items()
            if job.shown
        ]

    def live(self) -> list[int]:
        """Return the jobs that may still execute something."""
        return [number for number, job in self.jobs.items() if job.alive]

    def is_over(self) -> bool:
        """Whether nothing more will come of any trial."""
        return not self.to_propose and all(finished(view, self.limits) for view in self.views())

    def tick(self) -> list[Action]:
        """Look, plan, check the plan, and carry it out."""
        views, shown = self.views(), self.shown()
        over = {run for job in self.before for run in job.runs}
        jobs = [*self.before, *shown]
        actions = plan(views, to_propose=self.to_propose, jobs=jobs, limits=self.limits, elsewhere=over)
        self._check(actions, views, shown)
        self.halted = next((action.reason for action in actions if action.kind == "halt"), "")
        for action in actions:
            self._carry_out(action)
        return actions

    def _carry_out(self, action: Action) -> None:
        if action.kind in ("tell", "give_up"):
            self.told[action.trial] += 1
        if action.kind == "give_up":
            self.given_up.add(action.trial)
        if action.kind == "submit":
            self.jobs[len(self.jobs)] = SimulatedJob(runs=(action.signature, *action.more))
        if action.kind == "propose":
            self.to_propose -= 1
            self.trials.append(f"proposed{len(self.trials)}")
            self.runs[self.trials[-1]] = SimulatedRun()

    def _check(self, actions: Sequence[Action], views: Sequence[TrialView], shown: Sequence[Job]) -> None:
        submitted = [action for action in actions if action.kind == "submit"]
        wanted = {view.state.signature for view in views if not finished(view, self.limits) and not view.state.hold}
        busy = {view.state.signature for view in views if view.state.status == "running"}
        holders = [job for job in shown if not job.held and wanted & set(job.runs)]
        strangers = busy - {run for job in shown for run in job.runs}
        room = self.limits.parallel - len(holders) - -(-len(strangers) // self.limits.lanes)
        assert len(submitted) <= max(0, room), "never more jobs than allowed"
        assert len({action.signature for action in submitted}) == len(submitted), "no run begins two jobs of a tick"
        frozen = {run for job in shown if job.held for run in job.runs}
        for action in submitted:
            assert wanted.issuperset((action.signature, *action.more)), "only what wants to be executed"
            assert not busy & {action.signature, *action.more}, "nothing that is being executed"
            assert not frozen & {action.signature, *action.more}, "nothing that a held job will execute"
        self._check_need(submitted, holders, wanted - busy - frozen, busy)
        for action in actions:
            if action.kind in ("tell", "give_up"):
                assert not self.told[action.trial], "each trial is told once"
            if action.kind == "give_up":
                self._check_given_up(views[action.trial])

    def _check_need(
        self, submitted: Sequence[Action], holders: Sequence[Job], waiting: set[str], busy: set[str]
    ) -> None:
        """A run that a job lists is submitted again only where the jobs there are too few to begin all that waits."""
        lanes = self.limits.lanes
        begins = sum(max(0, lanes - len(busy & set(job.runs))) for job in holders if waiting & set(job.runs))
        begins = min(begins, len(waiting & {run for job in holders for run in job.runs}))
        covered = -(-max(0, len(waiting) - begins) // lanes)
        assert len(submitted) <= covered, "no job that would find nothing to begin"
        listed = {run for job in holders for run in job.runs}
        alone = lanes == 1 and self.limits.runs_per_job == 1
        if alone:
            twice = [action.signature for action in submitted if action.signature in listed]
            assert not twice, "a job of one run executes it: it is not submitted twice"

    def _check_given_up(self, view: TrialView) -> None:
        over = [kind for kind, count in view.ends.items() if count > (self.limits.budgets.get(kind) or 0)]
        allowed = [kind for kind in over if self.limits.budgets.get(kind) is not None]
        assert view.state.hold == "cancelled" or allowed, "a run is given up only beyond its budget"
        assert view.state.status not in ("running", "done")

    def begin(self, number: int, run: str) -> None:
        """Let a job's process claim a run, as the run folder allows it: no other works on it, nobody holds it."""
        state, job = self.runs[run], self.jobs[number]
        free = state.status not in ("running", "done") and not state.hold
        at_work = sum(other.job == number and other.status == "running" for other in self.runs.values())
        if job.alive and not job.held and free and at_work < self.limits.lanes:
            state.status, state.job, job.begun, state.unbegun = "running", number, True, 0

    def end(self, run: str, kind: EndKind | None, alike: str = "") -> None:
        """Let the attempt at a run end; None: it is done, or diverged."""
        state = self.runs[run]
        if state.status != "running":
            return
        state.job = None
        if kind is None:
            state.status, state.last = "done", None
            return
        state.status, state.last, state.alike = STATUS_AFTER[kind], kind, alike if kind == "failed" else ""
        state.ends[kind] += 1

    def leave(self, number: int) -> None:
        """Let a job end; the queue still shows it. Its first run was never begun, if the job began nothing."""
        job = self.jobs[number]
        job.alive = False
        for run, state in self.runs.items():
            if state.status == "running" and state.job == number:
                self.end(run, "died")
        first = self.runs[job.runs[0]]
        if not job.begun and first.status != "done":
            first.unbegun += 1

    def queue_tells(self) -> None:
        """Let the queue forget the jobs that are gone."""
        for job in self.jobs.values():
            job.shown = job.shown and job.alive
