"""What to do next, and why: a pure function of the study's trials, the states of their runs, and the limits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from difair_hpc.runs.folder import RunState


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the profile allows."""

    parallel: int
    """Runs at once."""
    failures_allowed: int
    """Times a failed or dead run is started again."""
    runs_per_job: int | None = 1
    """Runs that one job may execute one after another; None: all that wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialView:
    """A trial of the current stage and where its run stands."""

    number: int
    state: RunState
    failures: int
    """Attempts at the run that failed or died."""
    told: bool
    """Whether Optuna knows how it ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing to do."""

    kind: Literal["submit", "tell", "give_up", "propose"]
    signature: str = ""
    trial: int = -1
    reason: str = ""
    more: tuple[str, ...] = ()
    """Runs that the submitted job executes afterwards, unless another job has begun them by then."""


Jobs = Collection[Collection[str]]
"""For each job that has not ended, the signatures of the runs that it executes."""


def plan(trials: Sequence[TrialView], *, to_propose: int, jobs: Jobs, limits: Limits) -> list[Action]:
    """Return what to do now, in order.

    Args:
        trials: The trials of the current stage, by number.
        to_propose: Trials that the stage still wants.
        jobs: Our jobs that have not ended, and the runs of each.
        limits: Of the profile.
    """
    actions = [action for trial in trials if (action := _ending(trial, limits)) is not None]
    ours = {signature for job in jobs for signature in job}
    running = {trial.state.signature for trial in trials if trial.state.status == "running"}
    free = limits.parallel - len(jobs) - len(running - ours)
    waiting = _waiting(trials, running, ours, limits)
    starting = max(0, len(jobs) - len(running & ours))
    for position, trial in enumerate(list(waiting.values())[: max(0, min(free, len(waiting) - starting))]):
        more = _after(list(waiting), position, limits)
        first = trial.state.signature
        actions.append(Action(kind="submit", signature=first, trial=trial.number, reason=_why(trial), more=more))
    unlisted = sum(signature not in ours for signature in waiting)
    proposals = min(to_propose, max(free - unlisted, 0))
    actions += [Action(kind="propose", reason="a slot is free and nothing waits for it")] * proposals
    return actions


def finished(trial: TrialView, limits: Limits) -> bool:
    """Whether nothing more will come of the trial."""
    return trial.state.status == "done" or _given_up(trial, limits)


def _waiting(
    trials: Sequence[TrialView], running: Collection[str], ours: Collection[str], limits: Limits
) -> dict[str, TrialView]:
    """Return the runs that nobody executes, by signature: first those that no job lists, then those that one does."""
    wanting = [trial for trial in trials if _wants_a_job(trial, running, limits)]
    ordered = sorted(wanting, key=lambda trial: trial.state.signature in ours)
    waiting: dict[str, TrialView] = {}
    for trial in ordered:
        waiting.setdefault(trial.state.signature, trial)
    return waiting


def _after(waiting: Sequence[str], position: int, limits: Limits) -> tuple[str, ...]:
    """Return the runs that follow the one at `position` in its job: the rest of the queue, then its beginning.

    The jobs of one wave may list the same runs; whichever comes to a run first claims it, and the others pass on.
    """
    count = len(waiting) if limits.runs_per_job is None else limits.runs_per_job
    return (*waiting[position + 1 :], *waiting[:position])[: count - 1]


def _ending(trial: TrialView, limits: Limits) -> Action | None:
    if trial.told:
        return None
    if trial.state.status == "done":
        return Action(kind="tell", signature=trial.state.signature, trial=trial.number, reason="its run is done")
    if _given_up(trial, limits):
        reason = f"{trial.failures} attempts failed: {trial.state.message or 'it died without a word'}"
        return Action(kind="give_up", signature=trial.state.signature, trial=trial.number, reason=reason)
    return None


def _given_up(trial: TrialView, limits: Limits) -> bool:
    return trial.state.status in ("failed", "dead") and trial.failures > limits.failures_allowed


def _wants_a_job(trial: TrialView, busy: Collection[str], limits: Limits) -> bool:
    if trial.state.signature in busy or finished(trial, limits):
        return False
    return trial.state.status in ("new", "stopped", "failed", "dead")


def _why(trial: TrialView) -> str:
    state = trial.state
    return {
        "new": "it was never started",
        "stopped": f"it was stopped at epoch {state.epoch} and goes on from there",
        "failed": f"attempt {state.attempts} failed ({state.message}); it may be tried again",
        "dead": f"attempt {state.attempts} died without a word; it goes on from its last checkpoint",
    }[state.status]
