"""What a study asks for before it begins: how many runs, of how many epochs, and how many GPU-hours. Pure."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from difair_hpc.data.splits import sharing
from difair_hpc.osr.spec import RELATIVE_TIME
from difair_hpc.sweep.spec import ChoiceRule, StageSpec

PROTOCOL_EPOCHS = 600
"""Epochs of the paper's protocol, to which a profile's GPU-hours refer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCost:
    """One stage as far as it can be foreseen."""

    stage: str
    runs: int
    epochs: int
    """Of each run."""
    weight: float = 1.0
    """Mean time of its runs over that of a run of an ordinary method."""


def relative_time(stage: StageSpec) -> float:
    """Return the mean over a stage's runs of what each takes compared with an ordinary method."""
    searched = next((axis.values for axis in stage.space if axis.key in ("method", "method.name")), ())
    methods = stage.methods if stage.search == "final" else searched or (stage.base.get("method", ""),)
    return fmean(RELATIVE_TIME.get(str(method), 1.0) for method in methods)


def planned_runs(stage: StageSpec, before: Mapping[str, StageSpec]) -> int:
    """Return how many runs a stage will have; `before`: the earlier stages, of which one may choose its values."""
    if stage.search == "optuna":
        return stage.trials
    if stage.search == "final":
        known = stage.base.get("benchmark.cifar_plus_known", "vehicles")
        tasks = itertools.product(stage.benchmarks, stage.splits)
        trainings = {sharing(*task, cifar_plus_known=known)[0] for task in tasks}
        return len(trainings) * len(stage.methods) * len(stage.seeds)
    return math.prod(
        (before[axis.chosen_in].choose or ChoiceRule()).keep if axis.chosen_in is not None else len(axis.values)
        for axis in stage.space
    )


def gpu_hours(costs: Sequence[StageCost], *, per_600_epochs: float, runs_per_gpu: int) -> float:
    """Return the GPU-hours of all stages.

    Args:
        costs: Of the stages.
        per_600_epochs: Hours that one run of the paper's protocol takes when it has a GPU to itself.
        runs_per_gpu: Runs that share a GPU; they are taken to be no slower for it.
    """
    epochs = sum(cost.runs * cost.epochs * cost.weight for cost in costs)
    return epochs / PROTOCOL_EPOCHS * per_600_epochs / runs_per_gpu
