"""What a study may cost, by hand: 165 runs of 600 epochs at 2 hours are 330 GPU-hours."""

import pytest

from difair_hpc import config
from difair_hpc.cli.preview import stage_costs
from difair_hpc.sweep.cost import StageCost, gpu_hours, planned_runs, relative_time
from difair_hpc.sweep.spec import Axis, StageSpec


def test_the_papers_study_takes_330_gpu_hours() -> None:
    costs = stage_costs(config.study("paper", {}))
    assert costs == [
        StageCost(stage="coarse", runs=36, epochs=600),
        StageCost(stage="fine", runs=15, epochs=600),
        StageCost(stage="final", runs=114, epochs=600),
    ]
    assert gpu_hours(costs, per_600_epochs=2.0, runs_per_gpu=1) == 330.0
    assert gpu_hours(costs, per_600_epochs=2.0, runs_per_gpu=3) == 110.0


@pytest.mark.parametrize(("name", "runs"), [("digits", [9, 6, 15]), ("tpe", [60, 4])])
def test_the_runs_of_each_stage(name: str, runs: list[int]) -> None:
    study = config.study(name, {})
    before = {stage.name: stage for stage in study.stages}
    assert [planned_runs(stage, before) for stage in study.stages] == runs


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ({}, 330.0),
        # 19 trainings of 600 epochs for each method: 38 hours, and 6.2 times as many for arpl_cs.
        ({"stages.final.methods": ["difair", "arpl_cs"]}, 102 + 38 + 6.2 * 38),
        ({"stages.final.methods": ["difair"]}, 102 + 38),
    ],
)
def test_a_method_that_takes_longer_counts_for_more(words: dict[str, object], hours: float) -> None:
    costs = stage_costs(config.study("paper", words))
    assert gpu_hours(costs, per_600_epochs=2.0, runs_per_gpu=1) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("base", "space", "weight"),
    [
        ({"method": "arpl_cs"}, (), 6.2),
        ({"method": "arpl_cs"}, (Axis(key="method", values=("arpl", "arpl_cs")),), 3.6),
        ({}, (Axis(key="method.name", values=("arpl_cs",)),), 6.2),
        ({}, (), 1.0),
    ],
)
def test_a_search_counts_by_the_method_that_it_trains(
    base: dict[str, object], space: tuple[Axis, ...], weight: float
) -> None:
    assert relative_time(StageSpec(name="a", search="grid", base=base, space=space)) == pytest.approx(weight)
