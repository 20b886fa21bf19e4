"""What a study is: its stages, their spaces and the rules by which configurations are chosen, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from difair_hpc.errors import InvalidValue
from difair_hpc.words import counted

METRICS = ("closed_set_accuracy", "occupancy")
"""What a search may look at: no score on unknown images is ever optimised (appendix C)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceRule:
    """How a search stage chooses, written in the sweep file, applied by `stages.choose`, told in the report."""

    metric: Literal["closed_set_accuracy", "occupancy"] = "closed_set_accuracy"
    """Larger is better."""
    tolerance: float = 0.0
    """Configurations within this of the best (absolute, 0.01 is one percent point) count as equally good."""
    below_coefficient: float = 0.5
    """Only radius coefficients below this are eligible: from 0.5 on hyperspheres overlap."""
    prefer: tuple[str, ...] = ()
    """Order of the equally good: 'largest KEY', 'smallest KEY', 'nearest KEY VALUE' or 'highest METRIC'."""
    of: str | None = None
    """None: choose whole configurations; a key: choose values of that axis."""
    keep: int = 1
    """How many to choose."""

    def __post_init__(self) -> None:
        """Refuse a preference that nobody understands."""
        if self.keep < 1:
            raise InvalidValue("choose.keep", self.keep, "a whole number of at least 1")
        if self.tolerance < 0:
            raise InvalidValue("choose.tolerance", self.tolerance, "0 or more")
        for preference in self.prefer:
            word, *rest = preference.split() or [""]
            if (word, len(rest)) not in {("largest", 1), ("smallest", 1), ("nearest", 2), ("highest", 1)}:
                allowed = "'largest KEY', 'smallest KEY', 'nearest KEY VALUE' or 'highest METRIC'"
                raise InvalidValue("choose.prefer", preference, allowed)
            if word == "highest" and rest[0] not in METRICS:
                raise InvalidValue("choose.prefer", preference, "'highest METRIC' with one of " + ", ".join(METRICS))
            if word == "nearest" and not _is_number(rest[1]):
                raise InvalidValue("choose.prefer", preference, "'nearest KEY VALUE' with a number as VALUE")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One searched key: a list of values, an interval, or the values that an earlier stage chose."""

    key: str
    """Key of the run, such as method.alpha; method.radius stands for the radius itself."""
    values: tuple[Any, ...] = ()
    """Choices, in the order of the grid."""
    low: float | None = None
    high: float | None = None
    """Ends of an interval, both included (Optuna searches only)."""
    log: bool = False
    """Search the interval on a logarithmic scale."""
    whole: bool = False
    """Only whole numbers of the interval."""
    chosen_in: str | None = None
    """Name of the earlier stage whose chosen values are taken."""

    def __post_init__(self) -> None:
        """Refuse an interval without an inside, or one that no logarithm exists for."""
        if self.low is None or self.high is None:
            return
        if not self.low < self.high:
            raise InvalidValue(f"space.{self.key}", f"{self.low:g} to {self.high:g}", "low below high")
        if self.log and self.low <= 0:
            raise InvalidValue(f"space.{self.key}.low", f"{self.low:g}", "a number above 0 with log: true")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """One stage of a study."""

    name: str
    search: Literal["grid", "optuna", "final"]
    """grid: every combination; optuna: proposals of a sampler; final: the chosen configuration and its rivals."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the run that are the same in the whole stage, such as benchmark, protocol and protocol.epochs."""
    space: tuple[Axis, ...] = ()
    """Searched keys."""
    trials: int = 0
    """Number of proposals (search: optuna)."""
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    """Optuna's sampler (search: optuna)."""
    objectives: tuple[str, ...] = ("closed_set_accuracy",)
    """Metrics that the sampler maximises."""
    prune: Literal["restarts"] | None = None
    """restarts: stop the worse runs at the ends of cycles (`rungs`); None: every run trains to its end."""
    choose: ChoiceRule | None = field(default_factory=ChoiceRule)
    """How the stage chooses; None: it only compares, and its runs stand side by side in the report."""
    chosen_in: str | None = None
    """Stage whose chosen configuration is retrained (search: final)."""
    benchmarks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    splits: tuple[int, ...] = (0, 1, 2, 3, 4)
    seeds: tuple[int, ...] = (0,)
    """Every combination of these four is trained (search: final)."""

    def __post_init__(self) -> None:
        """Refuse a stage that could only fail once it has begun."""
        key = f"stages.{self.name}"
        for metric in self.objectives:
            if metric not in METRICS:
                raise InvalidValue(f"{key}.objectives", metric, "some of " + ", ".join(METRICS))
        if self.search == "optuna" and (self.trials < 1 or not self.objectives or not self.space):
            counts = {"trial": self.trials, "objective": len(self.objectives), "searched key": len(self.space)}
            given = ", ".join(counted(count, noun) for noun, count in counts.items())
            raise InvalidValue(key, given, "at least one of each (trials, objectives, space)")
        if self.prune and (self.search == "final" or self.choose is None):
            allowed = "null where nothing is chosen: pruning serves a choice, and may not look at images of the test"
            raise InvalidValue(f"{key}.prune", self.prune, allowed)
        if self.prune and self.search == "optuna" and len(self.objectives) > 1:
            allowed = f"null with {len(self.objectives)} objectives: runs are ranked by one, which Optuna asks for too"
            raise InvalidValue(f"{key}.prune", self.prune, allowed)
        if self.search == "grid" and (ranges := [axis.key for axis in self.space if axis.low is not None]):
            raise InvalidValue(f"{key}.space.{ranges[0]}", "an interval", "a list of values in a grid")
        if self.search == "final" and not (self.benchmarks and self.methods and self.splits and self.seeds):
            raise InvalidValue(key, "nothing to train", "at least one of benchmarks, methods, splits and seeds each")

    @property
    def rung_metric(self) -> str:
        """What runs are compared by while they train: the sampler's objective, or what the choice goes by."""
        return self.objectives[0] if self.search == "optuna" or self.choose is None else self.choose.metric


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySpec:
    """The stages of one sweep file, in order."""

    name: str
    stages: tuple[StageSpec, ...]

    def __post_init__(self) -> None:
        """Refuse a stage that waits for something that no earlier stage chooses."""
        before: dict[str, StageSpec] = {}
        for stage in self.stages:
            earlier = f"an earlier stage that chooses ({', '.join(sorted(before)) or 'there is none'})"
            for source in [stage.chosen_in, *(axis.chosen_in for axis in stage.space)]:
                if source is not None and source not in before:
                    raise InvalidValue(f"stages.{stage.name}: chosen_in", source, earlier)
            for axis in stage.space:
                if axis.chosen_in is not None and axis.key not in (offered := _chosen_keys(before[axis.chosen_in])):
                    allowed = "a stage that chooses this key; it chooses " + (", ".join(offered) or "nothing")
                    raise InvalidValue(f"stages.{stage.name}.space.{axis.key}: chosen_in", axis.chosen_in, allowed)
            if stage.search != "final" and stage.choose is not None:
                before[stage.name] = stage


def _chosen_keys(stage: StageSpec) -> tuple[str, ...]:
    return (stage.choose.of,) if stage.choose and stage.choose.of else tuple(axis.key for axis in stage.space)
