"""What study.json says of a study: all that reading commands and `difair sync` need, without the sweep file. Pure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec

if TYPE_CHECKING:
    from difair_hpc.sweep.reconcile import StageView


def description(study: StudySpec, seen: "Sequence[StageView]") -> dict[str, Any]:
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


def _stage(stage: StageSpec, view: "StageView | None") -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": stage.name,
        "search": stage.search,
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
