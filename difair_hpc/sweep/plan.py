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


def plan(trials: Sequence[TrialView], *, to_propose: int, jobs: Collection[str], limits: Limits) -> list[Action]:
    """Return what to do now, in order.

    Args:
        trials: The trials of the current stage, by number.
        to_propose: Trials that the stage still wants.
        jobs: Signatures of runs that a job of ours is on its way to.
        limits: Of the profile.
    """
    actions = [action for trial in trials if (action := _ending(trial, jobs, limits)) is not None]
    busy = {trial.state.signature for trial in trials if trial.state.status == "running"} | set(jobs)
    free = limits.parallel - len(busy)
    waiting: dict[str, TrialView] = {}
    for trial in trials:
        if _wants_a_job(trial, busy, limits):
            waiting.setdefault(trial.state.signature, trial)
    for signature, trial in list(waiting.items())[: max(free, 0)]:
        actions.append(Action(kind="submit", signature=signature, trial=trial.number, reason=_why(trial)))
    proposals = min(to_propose, max(free - len(waiting), 0))
    actions += [Action(kind="propose", reason="a slot is free and nothing waits for it")] * proposals
    return actions


def finished(trial: TrialView, limits: Limits) -> bool:
    """Whether nothing more will come of the trial."""
    return trial.state.status == "done" or _given_up(trial, limits)


def _ending(trial: TrialView, jobs: Collection[str], limits: Limits) -> Action | None:
    if trial.told or trial.state.signature in jobs:
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
