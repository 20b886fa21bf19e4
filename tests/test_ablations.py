"""The ablations' sweep files: what differs between their runs, what their comments promise, what they cost."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from difair_hpc import config
from difair_hpc.cli.preview import stage_costs
from difair_hpc.runs.spec import RunSpec, flat
from difair_hpc.sweep.cost import gpu_hours
from difair_hpc.sweep.space import grid
from difair_hpc.sweep.spec import StudySpec

SWEEPS = Path(__file__).parents[1] / "sweeps"
COMPARED = {
    "ablation_batch_norm": {"network.batch_norm_momentum", "network.batch_norm_epsilon"},
    "ablation_cac": {"method.variant"},
    "ablation_dropout": {"network.dropout"},
    "ablation_features": {"method.features_per_class"},
    "ablation_randaugment": {"protocol.augment", "protocol.augment_magnitude"},
    "ablation_tinyimagenet": {
        "protocol.optimizer", "protocol.learning_rate", "protocol.weight_decay", "method.label_smoothing",
    },
    "ablation_weight_decay": {"protocol.weight_decay", "protocol.weight_decay_form"},
}  # fmt: skip
TRIAL = ("benchmark=digits", "protocol=short", "protocol.epochs=20")


def study(name: str, *words: str) -> StudySpec:
    values = config.parse(words)
    config.settings(values)
    return config.study(name, values)


def runs(spec: StudySpec) -> list[RunSpec]:
    return [config.build_run(stage.base, values) for stage in spec.stages for values in grid(stage.space)]


def by_task(spec: StudySpec) -> dict[tuple[str, str, int], list[RunSpec]]:
    """Return the runs of each method, benchmark and split."""
    found: dict[tuple[str, str, int], list[RunSpec]] = {}
    for run in runs(spec):
        found.setdefault((run.method.name, run.benchmark.name, run.benchmark.split), []).append(run)
    return found


def differing(found: list[RunSpec]) -> set[str]:
    values = [flat(run.to_dict()) for run in found]
    return {key for key in values[0] if any(other[key] != values[0][key] for other in values)}


def commands(name: str) -> Iterator[tuple[list[str], str]]:
    """Return the words of each command line in a file's comment, and the remark behind it."""
    text = (SWEEPS / f"{name}.yaml").read_text("utf-8").replace("\\\n#", "")
    for line in re.findall(r"^#   (difair sweep .*)$", text, re.MULTILINE):
        command, _, remark = line.partition(" # ")
        yield shlex.split(command)[2:], remark


def cost(spec: StudySpec) -> tuple[int, float]:
    costs = stage_costs(spec)
    return sum(one.runs for one in costs), gpu_hours(costs, per_600_epochs=2.0, runs_per_gpu=1)


def promised(text: str) -> dict[str, int]:
    return {unit: int(number) for number, unit in re.findall(r"(\d+) (runs|GPU-hours)", text)}


def test_every_ablation_is_listed_here() -> None:
    assert {path.stem for path in SWEEPS.glob("ablation_*.yaml")} == set(COMPARED)


@pytest.mark.parametrize("words", [(), TRIAL], ids=["as shipped", "trial"])
@pytest.mark.parametrize("name", COMPARED)
def test_the_runs_of_an_ablation_differ_in_what_it_compares_alone(name: str, words: tuple[str, ...]) -> None:
    spec = study(name, *words)
    assert set().union(*map(differing, by_task(spec).values())) == COMPARED[name]
    assert all(stage.choose is None for stage in spec.stages), "nothing is chosen by images of the test"


@pytest.mark.parametrize("name", COMPARED)
def test_each_task_of_an_ablation_has_the_run_of_the_papers_study_and_repeats_none(name: str) -> None:
    for (method, benchmark, split), found in by_task(study(name)).items():
        paper: dict[str, Any] = {"method": method, "benchmark": benchmark, "split": split, "protocol": "paper"}
        signatures = [run.signature for run in found]
        assert signatures.count(config.run(paper).signature) == 1
        assert len(set(signatures)) == len(signatures)


@pytest.mark.parametrize("name", COMPARED)
def test_the_comment_says_what_an_ablation_costs(name: str) -> None:
    total, hours = cost(study(name))
    comment = (SWEEPS / f"{name}.yaml").read_text("utf-8").partition("\n#   difair")[0]
    assert f"\n# {total} runs of 600 epochs, {hours:g} GPU-hours" in comment


def test_the_readme_names_all_ablations_and_what_they_cost_together() -> None:
    readme = " ".join((SWEEPS.parent / "README.md").read_text("utf-8").split())
    runs_of, hours = zip(*(cost(study(name)) for name in COMPARED), strict=True)
    assert f"{sum(runs_of)} runs and {sum(hours):g} GPU-hours in all" in readme
    assert all(f"`{name}`" in readme for name in COMPARED)


@pytest.mark.parametrize("name", COMPARED)
def test_the_command_lines_of_the_comment_work_and_cost_what_they_say(name: str) -> None:
    lines = list(commands(name))
    assert [name, "cluster=v100"] in [words for words, _ in lines]
    assert [name, *TRIAL] in [words for words, _ in lines]
    for (first, *words), remark in lines:
        total, hours = cost(study(first, *words))
        assert promised(remark).items() <= {"runs": total, "GPU-hours": hours}.items()
