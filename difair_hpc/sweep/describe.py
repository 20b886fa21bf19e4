"""Where a stage stands, and what study.json says of it: all that reading commands and `difair sync` need. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from difair_hpc.runs.folder import RunState
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.plan import TrialView
from difair_hpc.sweep.space import Parameters
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec
from difair_hpc.sweep.stages import Choice


@dataclass(frozen=True, kw_only=True, slots=True)
class StageView:
    """Where a stage stands."""

    stage: StageSpec
    book: str
    """Name of its list of trials in the ledger, and of its Optuna study."""
    axes: tuple[Axis, ...]
    """Its space, with the values of earlier stages filled in."""
    planned: int
    trials: tuple[TrialView, ...]
    parameters: Mapping[int, Parameters]
    """Trial number to searched values."""
    epochs: int
    """Of each run."""
    jobs: tuple[Job, ...]
    """Those that have not ended."""
    submitted: int
    """Jobs that this tick has submitted."""
    complete: bool
    halted: str = ""
    """Why the study submits nothing more; empty while it does."""
    choice: Choice | None = None

    @property
    def runs(self) -> int:
        """Runs that it is made of: trials that share a run count once, as far as they are known."""
        return self.planned - len(self.trials) + len(self.states)

    @property
    def states(self) -> dict[str, RunState]:
        """Signature to state; trials that share a run count once."""
        return {trial.state.signature: trial.state for trial in self.trials}

    @property
    def pruned(self) -> dict[str, str]:
        """Signature to why the stage has pruned the run."""
        return {trial.state.signature: trial.pruned for trial in self.trials if trial.pruned}

    @property
    def waits(self) -> bool:
        """Whether nothing will happen until a user does something: it was halted, or all that is left is held."""
        left = [t for t in self.trials if t.state.status != "done" and t.state.hold != "cancelled" and not t.pruned]
        busy = any(trial.state.status == "running" for trial in left) or any(not job.held for job in self.jobs)
        return not self.complete and not busy and bool(self.halted or (left and all(trial.held for trial in left)))


def description(study: StudySpec, seen: Sequence[StageView]) -> dict[str, Any]:
    """Return the study as plain data, of which the stages in `seen` have begun."""
    by_name = {view.stage.name: view for view in seen}
    return {"study": study.name, "stages": [_stage(stage, by_name.get(stage.name)) for stage in study.stages]}


def searched(described: Mapping[str, Any]) -> StageSpec | None:
    """Return what a search stage asked Optuna; None of one that has not begun, or that an earlier version described."""
    if "book" not in described:
        return None
    axes = tuple(Axis(**{**axis, "values": tuple(axis.get("values", ()))}) for axis in described["axes"])
    return StageSpec(
        name=described["name"],
        search=described["search"],
        space=axes,
        trials=described["planned"],
        sampler=described["sampler"],
        objectives=tuple(described["objectives"]),
    )


def _stage(stage: StageSpec, view: StageView | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": stage.name,
        "search": stage.search,
        "chooses": stage.choose is not None,
        "planned": None,
        "complete": False,
        "trials": [],
        "chosen": [],
        "reasons": [],
    }
    if view is None:
        return content
    trials = [
        {"number": t.number, "signature": t.state.signature, "parameters": dict(view.parameters[t.number])}
        for t in view.trials
    ]
    content |= {"planned": view.planned, "complete": view.complete, "trials": trials}
    if view.choice is not None:
        content |= {"chosen": [dict(c) for c in view.choice.chosen], "reasons": list(view.choice.reasons)}
    if stage.search == "final":
        return content
    axes = [_axis(axis) for axis in view.axes]
    asked = {"book": view.book, "axes": axes, "objectives": list(stage.objectives), "sampler": stage.sampler}
    return content | asked


def _axis(axis: Axis) -> dict[str, Any]:
    if axis.values:
        return {"key": axis.key, "values": list(axis.values)}
    return {"key": axis.key, "low": axis.low, "high": axis.high, "log": axis.log, "whole": axis.whole}
