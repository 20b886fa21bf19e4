"""What the report reads: one row per run, made from its result.json, gathered by the stages of a study."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from difair_hpc.errors import InvalidValue

OVERLAP = 0.5
"""Radius coefficient from which on the hyperspheres of two classes touch or overlap (appendix C)."""

FINAL = "final"
"""Kind of the stages whose rows fill the paper's tables; every other stage is a search."""

RowKey = tuple[str, str, int]
"""Signature, benchmark and split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """One finished run, as far as tables and figures need it; shares lie in 0 to 1."""

    benchmark: str
    """Name of the benchmark."""
    split: int
    """Class split, 0 to 4."""
    method: str
    """Name of the method, a key of osr.spec.METHOD_SPECS."""
    seed: int
    """Seed of the run."""
    signature: str
    """Name of the run's folder."""
    epochs: int
    """Passes over the training images that were made."""
    outcome: Literal["completed", "diverged"]
    """Whether the loss stayed finite to the end; a diverged run has no measurements."""
    alpha: float | None = None
    """Value of an anchor on its own features; None: the method has no anchors."""
    radius_coefficient: float | None = None
    """Radius over anchor distance; None: no hyperspheres."""
    features_per_class: int | None = None
    """N; None: features do not belong to classes."""
    radius: float | None = None
    """Radius of the class hypersphere: radius_coefficient * sqrt(2 N) * alpha; None: no hyperspheres."""
    closed_set_accuracy: float | None = None
    """Share of known images given their class; None: diverged."""
    occupancy: float | None = None
    """Share of known images inside their own hypersphere; None: no hyperspheres, or diverged."""
    auroc: Mapping[str, float] = field(default_factory=dict)
    """Area under the ROC curve by score; empty: all classes are known, or diverged."""
    oscr: Mapping[str, float] = field(default_factory=dict)
    """The same with credit for correctly classified known images only; empty: as auroc, or an older result."""
    fpr95: Mapping[str, float] = field(default_factory=dict)
    """Share of unknown images accepted where 95 % of the known are, by score; empty: as oscr."""
    aupr: Mapping[str, float] = field(default_factory=dict)
    """Average precision of detecting the unknown, by score; empty: as oscr."""
    known_images: int | None = None
    """Known images behind the measurements; None: diverged, or an older result."""
    unknown_images: int | None = None
    """Unknown images behind them; None: as known_images."""
    held_out: str | None = None
    """Images the measurements are from, such as test or validation; None: diverged."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """All else that was set, by dotted name; two runs compare only where these are equal."""
    warnings: tuple[str, ...] = ()
    """What the run warned of."""
    seconds: float | None = None
    """Training time of all attempts."""
    attempts: int | None = None
    """Processes that worked on the run, one after another."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What computed: Python, packages, git commit, and precision; empty: an older result."""
    data_fingerprint: str | None = None
    """SHA-256 over images and labels of the split; None: an older result."""
    weights: str | None = None
    """SHA-256 over the trained weights: runs with equal weights are one training; None: an older result."""
    trained_as: str | None = None
    """Benchmark and split that the run was trained for, where it serves this task too; None: this one."""

    @property
    def key(self) -> "RowKey":
        """Signature, benchmark and split: a run has several rows where it serves several tasks."""
        return self.signature, self.benchmark, self.split

    @property
    def diverged(self) -> bool:
        """Whether the loss stopped being finite."""
        return self.outcome == "diverged"

    @property
    def overlaps(self) -> bool:
        """Whether the hyperspheres of two classes overlap."""
        return self.radius_coefficient is not None and overlapping(self.radius_coefficient)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRows:
    """The finished runs of one stage and what was decided from them."""

    stage: str
    """Name, such as coarse, fine or final."""
    rows: tuple[ResultRow, ...]
    """One per run that has ended, in any order."""
    planned: int
    """Runs the stage is made of; those without a row have not ended."""
    reasons: tuple[str, ...] = ()
    """Why the configuration was chosen, one sentence each; empty: nothing is chosen yet."""
    chosen: tuple[Mapping[str, float], ...] = ()
    """The choices, best first, each values by name (alpha, radius_coefficient, …); empty: none yet."""
    chooses: bool = True
    """Whether something is to be chosen; False: the stage compares settings (an ablation)."""
    searched: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The searched keys of each run and their values, by signature in the order of the trials."""
    pruned: Mapping[str, str] = field(default_factory=dict)
    """Why the stage stopped some of its runs at a rung, by signature."""
    problems: tuple[str, ...] = ()
    """Results that were left out and why, one sentence or two each."""
    search: str = ""
    """grid, optuna or final; empty: nobody knows, and a stage called final is one."""

    @property
    def is_final(self) -> bool:
        """Whether its rows fill the paper's tables; every other stage is a search, or compares."""
        return self.search == FINAL or (not self.search and self.slug == FINAL)

    @property
    def slug(self) -> str:
        """The name as a part of file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.stage.lower()).strip("-") or "stage"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRows:
    """The stages of one sweep file."""

    study: str
    """Name of the study."""
    stages: tuple[StageRows, ...]
    """In the order in which they run."""
    refused: tuple[str, ...] = ()
    """What MLflow has refused of the study, one sentence each."""

    def __post_init__(self) -> None:
        """Refuse stages whose files would overwrite each other."""
        slugs = [stage.slug for stage in self.stages]
        for stage in self.stages:
            if slugs.count(stage.slug) > 1:
                raise InvalidValue("stage", stage.stage, "a name that only one stage of the study has")

    @property
    def final_rows(self) -> tuple[ResultRow, ...]:
        """The rows of the final stage; none where there is no such stage."""
        return tuple(row for stage in self.stages if stage.is_final for row in stage.rows)

    @property
    def final_problems(self) -> tuple[str, ...]:
        """The results that are missing in the final stage because they cannot be trusted."""
        return tuple(problem for stage in self.stages if stage.is_final for problem in stage.problems)


def overlapping(radius_coefficient: float) -> bool:
    """Whether hyperspheres of this radius coefficient overlap (a rounding error below 0.5 counts as 0.5)."""
    return radius_coefficient >= OVERLAP - 1e-9


def is_chosen(values: Mapping[str, float | None], chosen: Sequence[Mapping[str, float]]) -> bool:
    """Whether `values` (alpha, radius, ...) agree with one of the choices in every key that both have, and have one."""
    return any(_agrees(values, choice) for choice in chosen)


def choice_word(rows: Sequence[ResultRow], chosen: Sequence[Mapping[str, float]]) -> str:
    """Return how to call what agrees with a choice: chosen, or alpha chosen where only values of an axis were chosen.

    Args:
        rows: The runs of a search.
        chosen: Its choices; one that fits several settings chose no whole configuration.
    """
    for choice in chosen:
        fitting = {place(row) for row in rows if is_chosen(searched_values(row), [choice])}
        if len(fitting) > 1:
            return f"{', '.join(choice)} chosen"
    return "chosen"


def searched_values(row: ResultRow) -> dict[str, float | None]:
    """Return what a choice may speak of."""
    return {name: getattr(row, name) for name in ("alpha", "radius_coefficient", "features_per_class", "radius")}


def place(row: ResultRow) -> tuple[str, ...]:
    """Return the searched values to five digits: equal for runs of one setting."""
    return tuple("" if value is None else f"{value:.5g}" for value in searched_values(row).values())


def _agrees(values: Mapping[str, float | None], choice: Mapping[str, float]) -> bool:
    shared = [key for key in choice if values.get(key) is not None]
    return bool(shared) and all(math.isclose(cast("float", values[key]), choice[key], rel_tol=1e-4) for key in shared)
