"""From a search space to parameters, and from parameters to the keys of a run. Pure."""

import itertools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from difair_hpc.errors import InvalidValue
from difair_hpc.osr.spec import anchor_distance
from difair_hpc.runs.spec import RunSpec, trained_for
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec

Parameters = dict[str, Any]

_FAMILY = ("difair", "difair_std")
_METHOD = ("method", "method.name")
SET_BY_FINAL = {
    **{"benchmark": "benchmarks", "benchmark.name": "benchmarks", "method": "methods", "method.name": "methods"},
    **{"split": "splits", "benchmark.split": "splits", "seed": "seeds"},
}
"""Keys of a run that a final stage sets itself, with the key of the stage that does."""


def grid(axes: Sequence[Axis]) -> list[Parameters]:
    """Return every combination of the axes' values, the last axis fastest."""
    for axis in axes:
        if not axis.values:
            raise InvalidValue(f"space.{axis.key}", "interval", "a list of values in a grid")
    return [
        dict(zip([axis.key for axis in axes], values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def resolved(axes: Sequence[Axis], chosen: Mapping[str, Sequence[Parameters]]) -> list[Axis]:
    """Fill in the axes whose values an earlier stage chose (`chosen`: stage to its choices)."""
    result = []
    for axis in axes:
        if axis.chosen_in is None:
            result.append(axis)
            continue
        values = [choice[axis.key] for choice in chosen[axis.chosen_in]]
        distinct = {_order(value): value for value in reversed(values)}
        result.append(Axis(key=axis.key, values=tuple(distinct[place] for place in sorted(distinct))))
    return result


def _order(value: Any) -> tuple[int, float, str]:
    """Return the place of a plain value among others: null, true and false, numbers, texts, lists."""
    if isinstance(value, int | float):
        return (1 if isinstance(value, bool) else 2, value, "")
    if value is None or isinstance(value, str):
        return (0 if value is None else 3, 0.0, value or "")
    return (4, 0.0, json.dumps(value))


def searched_methods(study: StudySpec, name: str | None) -> tuple[str, ...]:
    """Return the methods that a stage searches; those of DIFAIR's family where it says none, as sweeps/config.yaml."""
    stage = next((one for one in study.stages if one.name == name), None)
    if stage is None:
        return _FAMILY
    for axis in stage.space:
        if axis.key in _METHOD:
            return searched_methods(study, axis.chosen_in) if axis.chosen_in else tuple(map(str, axis.values))
    return tuple(str(stage.base[key]) for key in _METHOD if key in stage.base) or _FAMILY


def takers(searched: Collection[str]) -> tuple[str, ...]:
    """Return the methods that take what a search of some methods chose: these, and both of DIFAIR's family."""
    return tuple(dict.fromkeys([*searched, *(_FAMILY if set(searched) & set(_FAMILY) else ())]))


def final_parameters(
    stage: StageSpec, chosen: Mapping[str, Sequence[Parameters]], searched: Collection[str] = _FAMILY
) -> list[Parameters]:
    """Return the runs of a final stage: benchmarks x methods x splits x seeds.

    The chosen configuration is that of the methods that were searched; alpha of DIFAIR is not forced upon its rivals.

    Args:
        stage: The final stage.
        chosen: Stage to its choices.
        searched: Methods of the stage that chose.
    """
    choice: Parameters = {} if stage.chosen_in is None else dict(chosen[stage.chosen_in][0])
    methods = takers([str(choice[key]) for key in _METHOD if key in choice] or searched)
    taken = {key: value for key, value in choice.items() if key not in SET_BY_FINAL}
    runs = []
    for benchmark, method, split, seed in itertools.product(stage.benchmarks, stage.methods, stage.splits, stage.seeds):
        own = taken if method in methods else {}
        runs.append({"benchmark": benchmark, "method": method, "split": split, "seed": seed, **own})
    return runs


def certain_trials(
    stage: StageSpec,
    chosen: Mapping[str, Sequence[Parameters]],
    axes: Sequence[Axis],
    searched: Collection[str] = _FAMILY,
) -> list[Parameters]:
    """Return the trials that are certain from the start: all of a grid or a final stage, none of a sampler's.

    Args:
        stage: The stage.
        chosen: Earlier stages to their choices.
        axes: The stage's space, filled in.
        searched: Of a final stage: methods of the stage that chose.
    """
    if stage.search == "final":
        return final_parameters(stage, chosen, searched)
    return grid(axes or stage.space) if stage.search == "grid" else []


def foreseen(stage: StageSpec) -> list[Parameters]:
    """Return parameters, known before an earlier stage has chosen, in which each value of the stage is found.

    An interval is known by its ends; of a final stage each benchmark and each method is met, not each pair.
    """
    if stage.search == "final":
        every_benchmark = replace(stage, chosen_in=None, methods=stage.methods[:1])
        every_method = replace(stage, chosen_in=None, benchmarks=stage.benchmarks[:1])
        return [*final_parameters(every_benchmark, {}), *final_parameters(every_method, {})]
    known = [axis for axis in stage.space if axis.chosen_in is None]
    return grid([Axis(key=axis.key, values=axis.values or (axis.low, axis.high)) for axis in known])


Build = Callable[[Mapping[str, Any], Parameters], RunSpec]
"""Makes a run of a stage's base and a trial's parameters."""


def run_of(stage: StageSpec, parameters: Parameters, build: Build) -> RunSpec:
    """Return the run of a trial; in a final stage that is the training which serves the trial's benchmark and split.

    Args:
        stage: The trial's stage.
        parameters: Of the trial.
        build: As `config.build_run`.
    """
    spec = build(stage.base, parameters)
    return trained_for(spec) if stage.search == "final" else spec


def run_keys(parameters: Parameters) -> Parameters:
    """Return the keys of a method with `method.radius` turned into the coefficient of the anchor distance.

    Args:
        parameters: method.radius, method.alpha and method.features_per_class, and whatever else.
    """
    keys = dict(parameters)
    distance = anchor_distance(
        features_per_class=int(keys["method.features_per_class"]), alpha=float(keys["method.alpha"])
    )
    radius = float(keys.pop("method.radius"))
    return {**keys, "method.radius_coefficient": radius / distance}
