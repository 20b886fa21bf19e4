"""What the report reads: one row per run, made from its result.json, gathered by the stages of a study."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from difair_hpc.errors import DataDamaged, InvalidValue, NewerSchema
from difair_hpc.osr.spec import METHOD_SPECS, anchor_distance

SCHEMA = 1
"""Newest form of result.json that is understood here."""

OVERLAP = 0.5
"""Radius coefficient from which on the hyperspheres of two classes touch or overlap (appendix C)."""

FINAL = "final"
"""Name of the stage whose rows fill the paper's tables; every other stage is a search."""

_CHOICES = ("alpha", "radius_coefficient", "features_per_class")
_APART = ("benchmark.name", "benchmark.split", "method.name", "protocol.epochs", "protocol.evaluate_every", "seed")


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
    held_out: str | None = None
    """Images the measurements are from, such as test or validation; None: diverged."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """All else that was set, by dotted name; two runs compare only where these are equal."""
    warnings: tuple[str, ...] = ()
    """What the run warned of."""

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
    """Name: coarse, fine or final."""
    rows: tuple[ResultRow, ...]
    """One per run that has ended, in any order."""
    planned: int
    """Runs the stage is made of; those without a row have not ended."""
    reasons: tuple[str, ...] = ()
    """Why the configuration was chosen, one sentence each; empty: nothing is chosen yet."""
    chosen: tuple[Mapping[str, float], ...] = ()
    """The choices, best first, each values by name (alpha, radius_coefficient, …); empty: none yet."""

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

    def __post_init__(self) -> None:
        """Refuse stages whose files would overwrite each other."""
        slugs = [stage.slug for stage in self.stages]
        for stage in self.stages:
            if slugs.count(stage.slug) > 1:
                raise InvalidValue("stage", stage.stage, "a name that only one stage of the study has")

    @property
    def final_rows(self) -> tuple[ResultRow, ...]:
        """The rows of the final stage; none where there is no such stage."""
        return tuple(row for stage in self.stages if stage.slug == FINAL for row in stage.rows)


def overlapping(radius_coefficient: float) -> bool:
    """Whether hyperspheres of this radius coefficient overlap (a rounding error below 0.5 counts as 0.5)."""
    return radius_coefficient >= OVERLAP - 1e-9


def is_chosen(values: Mapping[str, float | None], chosen: Sequence[Mapping[str, float]]) -> bool:
    """Whether `values` (alpha, radius, ...) agree with one of the choices in every key that both have, and have one."""
    return any(_agrees(values, choice) for choice in chosen)


def _agrees(values: Mapping[str, float | None], choice: Mapping[str, float]) -> bool:
    shared = [key for key in choice if values.get(key) is not None]
    return bool(shared) and all(math.isclose(cast("float", values[key]), choice[key], rel_tol=1e-4) for key in shared)


def row_from_result(result: Mapping[str, object], *, where: str = "result.json") -> ResultRow:
    """Make the row of a run from its result file.

    Args:
        result: The file's content as plain data.
        where: The file's name, for complaints.

    Raises:
        NewerSchema: A newer version of this package wrote the file.
        DataDamaged: A key is missing or its value is not of its kind; names file and key.
    """
    read = _Reader(result, where)
    if read.whole("schema") > SCHEMA:
        raise NewerSchema(
            f"{where} has schema {read.whole('schema')}; this version reads up to {SCHEMA}. Update difair-hpc."
        )
    outcome = read.text("outcome")
    if outcome not in ("completed", "diverged"):
        raise read.damaged("outcome", "is neither completed nor diverged")
    return ResultRow(
        benchmark=read.text("spec.benchmark.name"),
        split=read.whole("spec.benchmark.split"),
        method=read.text("spec.method.name"),
        seed=read.whole("spec.seed"),
        signature=read.text("signature"),
        epochs=read.whole("epochs"),
        outcome=cast("Literal['completed', 'diverged']", outcome),
        settings={key: value for key, value in _flat(read.mapping("spec")) if key not in _APART},
        warnings=tuple(str(warning) for warning in read.sequence("warnings")),
        **_choices(read),
        **(_measurements(read) if outcome == "completed" else {}),
    )


def _choices(read: "_Reader") -> dict[str, Any]:
    spec = METHOD_SPECS.get(read.text("spec.method.name"))
    names = {known.name for known in fields(spec)} if spec else set(read.mapping("spec.method"))
    values: dict[str, Any] = {key: read.number(f"spec.method.{key}") for key in _CHOICES if key in names}
    if len(values) < len(_CHOICES):
        return values
    features = read.whole("spec.method.features_per_class")
    radius = values["radius_coefficient"] * anchor_distance(features_per_class=features, alpha=values["alpha"])
    return {**values, "features_per_class": features, "radius": radius}


def _measurements(read: "_Reader") -> dict[str, Any]:
    occupancy = read.value("evaluation.occupancy")
    auroc = read.value("evaluation.auroc")
    return {
        "closed_set_accuracy": read.share("evaluation.closed_set_accuracy"),
        "occupancy": None if occupancy is None else read.share("evaluation.occupancy"),
        "auroc": {}
        if auroc is None
        else {score: read.share(f"evaluation.auroc.{score}") for score in read.mapping("evaluation.auroc")},
        "held_out": read.text("evaluation.held_out"),
    }


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs


class _Reader:
    """Typed access to nested plain data by dotted name; complaints name the file and the key."""

    def __init__(self, content: Mapping[str, object], where: str) -> None:
        self._content, self._where = content, where

    def damaged(self, key: str, problem: str) -> DataDamaged:
        return DataDamaged(
            f"{self._where}: {key} {problem}. If the file was edited or cut short, remove it and resume the run: "
            "the result is written anew from the last checkpoint."
        )

    def value(self, key: str) -> object:
        found: object = self._content
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise self.damaged(key, "is missing")
            found = found[part]
        return found

    def mapping(self, key: str) -> Mapping[str, object]:
        found = self.value(key)
        if not isinstance(found, Mapping):
            raise self.damaged(key, f"is {found!r} where a mapping belongs")
        return found

    def sequence(self, key: str) -> Sequence[object]:
        found = self.value(key)
        if not isinstance(found, list | tuple):
            raise self.damaged(key, f"is {found!r} where a list belongs")
        return found

    def text(self, key: str) -> str:
        found = self.value(key)
        if not isinstance(found, str):
            raise self.damaged(key, f"is {found!r} where a text belongs")
        return found

    def number(self, key: str) -> float:
        found = self.value(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise self.damaged(key, f"is {found!r} where a number belongs")
        return float(found)

    def whole(self, key: str) -> int:
        found = self.number(key)
        if not found.is_integer():
            raise self.damaged(key, f"is {found!r} where a whole number belongs")
        return int(found)

    def share(self, key: str) -> float:
        found = self.number(key)
        if not 0 <= found <= 1:
            raise self.damaged(key, f"is {found!r} where a share from 0 to 1 belongs")
        return found
