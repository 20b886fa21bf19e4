"""What a study may cost, by hand: 165 runs of 600 epochs at 2 hours are 330 GPU-hours."""

import pytest

from difair_hpc import config
from difair_hpc.cli.preview import stage_costs
from difair_hpc.sweep.cost import StageCost, gpu_hours, planned_runs


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
