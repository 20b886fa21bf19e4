"""study.json as plain data: it comes back from JSON as it was, and says what a search asked."""

import dataclasses
import json
from typing import Any

import pytest

from difair_hpc.sweep.describe import StageView, description, searched
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec

FILLED_IN = (
    Axis(key="method.alpha", values=(2, 6.5)),
    Axis(key="method.radius_coefficient", low=0.2, high=0.49),
    Axis(key="method.features_per_class", low=1, high=9, log=True, whole=True),
)
SEARCH = StageSpec(
    name="search",
    search="optuna",
    sampler="gp",
    trials=7,
    objectives=("closed_set_accuracy", "occupancy"),
    base={"benchmark": "digits"},
    space=(Axis(key="method.alpha", chosen_in="coarse"), *FILLED_IN[1:]),
)
COARSE = StageSpec(name="coarse", search="grid", space=(Axis(key="method.alpha", values=(2, 6.5)),))
FINAL = StageSpec(name="final", search="final", benchmarks=("digits",), methods=("cac",))
STUDY = StudySpec(name="mini", stages=(COARSE, SEARCH, FINAL))


def view(stage: StageSpec, *axes: Axis) -> StageView:
    return StageView(
        stage=stage,
        book=f"{stage.name}-123456",
        axes=axes,
        planned=7,
        trials=(),
        parameters={},
        epochs=0,
        jobs=(),
        submitted=0,
        complete=False,
    )


def stages(*seen: StageView) -> list[dict[str, Any]]:
    """Return the stages after a journey through JSON."""
    described = description(STUDY, seen)
    again = json.loads(json.dumps(described))
    assert again == described, "else study.json is written with every tick"
    return list(again["stages"])


def test_a_search_says_all_that_its_optuna_study_needs() -> None:
    described = stages(view(COARSE, *COARSE.space), view(SEARCH, *FILLED_IN))[1]
    assert described["book"] == "search-123456"
    asked = searched(described)
    assert asked is not None
    assert asked == dataclasses.replace(SEARCH, space=FILLED_IN, base={}, choose=asked.choose)


@pytest.mark.parametrize("position", [1, 2])
def test_what_has_not_begun_or_searches_nothing_asks_nothing(position: int) -> None:
    assert searched(stages(view(COARSE, *COARSE.space))[position]) is None
    assert searched(description(STUDY, [view(COARSE), view(SEARCH), view(FINAL)])["stages"][2]) is None
