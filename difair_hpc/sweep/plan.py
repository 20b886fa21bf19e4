"""What to do next, and why: a pure function of the study's trials, the states of their runs, jobs and limits."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from difair_hpc.runs.folder import RunState
from difair_hpc.sweep.ends import BUDGETS, MEANINGS, EndKind, over_budget
from difair_hpc.sweep.jobs import Job
from difair_hpc.words import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the profile allows."""

    parallel: int
    """Jobs at once, waiting ones included."""
    runs_per_job: int | None = 1
    """Runs that each process of a job may execute one after another; None: all that wait."""
    lanes: int = 1
    """Processes of one job that execute runs side by side."""
    budgets: Mapping[EndKind, int | None] = field(default_factory=lambda: {**BUDGETS})
    """How often a run is started again, by the type of its end; None: any number of times."""
    unbegun: int = 3
    """Jobs of a run that may end in a row without ever beginning it."""
    alike: int = 3
    """Runs that may fail alike before the study submits nothing more."""
    memory_growth: float = 1.5
    """Factor on the memory of a job after its run was out of memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialView:
    """A trial of the current stage and where its run stands."""

    number: int
    state: RunState
    told: bool
    """Whether Optuna knows how it ended."""
    ends: Mapping[EndKind, int] = field(default_factory=dict)
    """How often attempts at the run ended, by type; those that were forgiven are left out."""
    last: EndKind | None = None
    """The type of the newest end; None where there is none, or it was forgiven."""
    alike: str = ""
    """Fingerprint of the newest failure; empty where the newest end was another."""
    unbegun: int = 0
    """Jobs of the run that ended in a row without ever beginning it."""
    pruned: str = ""
    """Why the trial's own stage has stopped the run at a rung; empty where it has not."""

    @property
    def held(self) -> str:
        """How a user holds the run back; the pruning of another stage does not bind this one."""
        return "" if self.state.hold == "pruned" else self.state.hold


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing to do."""

    kind: Literal["submit", "tell", "give_up", "prune", "propose", "halt"]
    signature: str = ""
    trial: int = -1
    reason: str = ""
    more: tuple[str, ...] = ()
    """Runs that the submitted job executes beside the first or afterwards, unless another job has begun them."""
    memory_factor: float = 1.0
    """Of the submitted job, times the profile's memory."""


def plan(
    trials: Sequence[TrialView],
    *,
    to_propose: int,
    jobs: Sequence[Job],
    limits: Limits,
    elsewhere: Collection[str] = (),
) -> list[Action]:
    """Return what to do now, in order.

    Args:
        trials: The trials of the current stage, by number.
        to_propose: Trials that the stage still wants.
        jobs: Our jobs that have not ended, and the runs of each.
        limits: Of the profile.
        elsewhere: Runs of other stages that nobody will execute any more. A job that lists nothing else only has to
            leave, and takes nobody's place.
    """
    actions = [action for trial in trials if (action := _ending(trial, limits)) is not None]
    if halt := _halt(trials, limits):
        return [*actions, Action(kind="halt", reason=halt)]
    over = {trial.state.signature for trial in trials if finished(trial, limits) or trial.held}.union(elsewhere)
    here = [job for job in jobs if not (job.held or over.issuperset(job.runs))]
    listed = {signature for job in jobs for signature in job.runs}
    running = {trial.state.signature for trial in trials if trial.state.status == "running"}
    waiting = _waiting(trials, running, listed, limits)
    strangers = -(-len(running - listed) // limits.lanes)
    free = max(0, limits.parallel - len(here) - strangers)
    frozen = {signature for job in jobs if job.held for signature in job.runs}
    queue = [trial for signature, trial in waiting.items() if signature not in frozen]
    starting = _starting({trial.state.signature for trial in queue}, here, running - over, limits)
    needed = -(-(len(queue) - starting) // limits.lanes)
    actions += [_submission(queue, position, limits) for position in range(min(free, needed))]
    unlisted = sum(trial.state.signature not in listed for trial in queue)
    proposals = min(to_propose, max(limits.lanes * free - unlisted, 0))
    actions += [Action(kind="propose", reason="a slot is free and nothing waits for it")] * proposals
    return actions


def finished(trial: TrialView, limits: Limits) -> bool:
    """Whether nothing more will come of the trial."""
    return trial.state.status == "done" or bool(trial.pruned or given_up(trial, limits))


def given_up(trial: TrialView, limits: Limits) -> str:
    """Return why the study goes on without the trial's run, or nothing."""
    if trial.state.status in ("running", "done") or trial.pruned:
        return ""
    if trial.state.hold == "cancelled":
        return "it was cancelled"
    kind = over_budget(trial.ends, limits.budgets)
    if not kind:
        return ""
    meaning = trial.state.message or MEANINGS[kind].partition(";")[0]
    return f"{counted(trial.ends[kind], 'attempt')} {kind.replace('_', ' ')}: {meaning}"


def next_step(trial: TrialView, jobs: Sequence[Job], limits: Limits) -> str:
    """Return in words what happens next with a trial's run, and why."""
    state = trial.state
    job = next((job for job in jobs if state.signature in job.runs), None)
    if state.status == "done" or trial.pruned:
        more = f"its stage has pruned it; difair resume {state.signature} trains it to its end"
        return "nothing: it is done" if state.status == "done" else f"nothing: {more}"
    if state.hold == "held":
        return f"nothing: it is held; difair release {state.signature} lets it go on"
    if state.status in ("running", "unreadable"):
        return "it goes on" if state.status == "running" else f"nothing before it can be read: {state.message}"
    if spent := given_up(trial, limits):
        return f"nothing: {spent}; difair resume {state.signature} starts it again"
    if job is not None:
        return f"job {job.id or 'on its way'} is to execute it{' (' + job.why + ')' if job.why else ''}"
    return f"the next tick submits it: {_why(trial)}"


def _starting(queue: Collection[str], here: Sequence[Job], running: Collection[str], limits: Limits) -> int:
    """Return how many runs of the queue the jobs at hand begin by themselves: a job begins only what it lists."""
    starters = [job for job in here if not set(job.runs).isdisjoint(queue)]
    listed = {signature for job in starters for signature in job.runs}.intersection(queue)
    busy = {signature for job in here for signature in job.runs}.intersection(running)
    idle = limits.lanes * len(here) - len(busy)
    return max(0, min(idle, limits.lanes * len(starters), len(listed)))


def _waiting(
    trials: Sequence[TrialView], running: Collection[str], listed: Collection[str], limits: Limits
) -> dict[str, TrialView]:
    """Return the runs that nobody executes, by signature: first those that no job lists, then those that one does."""
    wanting = [trial for trial in trials if _wants_a_job(trial, running, limits)]
    ordered = sorted(wanting, key=lambda trial: trial.state.signature in listed)
    waiting: dict[str, TrialView] = {}
    for trial in ordered:
        waiting.setdefault(trial.state.signature, trial)
    return waiting


def _submission(queue: Sequence[TrialView], position: int, limits: Limits) -> Action:
    """Return the job at `position` of a wave: the runs that its processes begin with, then those that follow.

    The jobs of one wave may list the same runs; whichever comes to a run first claims it, and the others pass on.
    """
    begin = position * limits.lanes
    ordered = [*queue[begin:], *queue[:begin]]
    count = len(queue) if limits.runs_per_job is None else limits.runs_per_job * limits.lanes
    first, listed = ordered[0], ordered[:count]
    most = max(trial.ends.get("out_of_memory", 0) for trial in listed)
    return Action(
        kind="submit",
        signature=first.state.signature,
        trial=first.number,
        reason=_why(first),
        more=tuple(trial.state.signature for trial in listed[1:]),
        memory_factor=limits.memory_growth**most,
    )


def _ending(trial: TrialView, limits: Limits) -> Action | None:
    if trial.told:
        return None
    if trial.state.status == "done":
        return Action(kind="tell", signature=trial.state.signature, trial=trial.number, reason="its run is done")
    if trial.pruned:
        return Action(kind="prune", signature=trial.state.signature, trial=trial.number, reason=trial.pruned)
    if reason := given_up(trial, limits):
        return Action(kind="give_up", signature=trial.state.signature, trial=trial.number, reason=reason)
    return None


def _halt(trials: Sequence[TrialView], limits: Limits) -> str:
    """Return why the study submits nothing more, or nothing."""
    for trial in trials:
        if trial.unbegun >= limits.unbegun and _wants_a_job(trial, (), limits):
            return f"{counted(trial.unbegun, 'job')} of run {trial.state.signature} ended before the run began"
    failed = [trial for trial in trials if trial.alike and trial.state.status == "failed" and not trial.state.hold]
    runs = {trial.state.signature: trial.alike for trial in failed}
    for alike, count in Counter(runs.values()).most_common(1):
        if count >= limits.alike:
            return f"{counted(count, 'run')} failed alike: {alike}"
    return ""


def _wants_a_job(trial: TrialView, busy: Collection[str], limits: Limits) -> bool:
    if trial.state.signature in busy or trial.held or finished(trial, limits):
        return False
    return trial.state.status in ("new", "stopped", "failed", "dead")


def _why(trial: TrialView) -> str:
    state = trial.state
    if state.status == "new":
        return state.message or "it was never started"
    if trial.last and trial.last not in ("failed", "stopped", "died"):
        return f"at epoch {state.epoch}, {MEANINGS[trial.last]}"
    died = f"attempt {state.attempts} disappeared without an exit record"
    return {
        "stopped": f"it was stopped at epoch {state.epoch} and goes on from there",
        "failed": f"attempt {state.attempts} failed ({state.message}); it may be tried again",
        "dead": f"{state.message or died}; it goes on from its last checkpoint",
    }[state.status]
