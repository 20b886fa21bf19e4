"""What a report is made of: a row for every task that a training serves, and scores anew from the saved outputs."""

import json
from pathlib import Path

import pytest

from difair_hpc.cli.gather import split_pictures, study_histories, study_images, study_rows
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.spec import DifairSpec
from difair_hpc.report.notes import warning_notes
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.outputs import NAME
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import RunSpec
from tests.cli.made import described
from tests.data.fakes import write_cifar10, write_cifar100
from tests.runs.made import created, execution
from tests.train.tiny import protocol

TASKS = [("cifar+10", 0), ("cifar+10", 3), ("cifar+50", 1)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study whose three results come from one finished training on made-up CIFAR files."""
    write_cifar10(tmp_path, list(range(10)) * 2)
    write_cifar100(tmp_path, list(range(100)))
    benchmark = BenchmarkSpec(name="cifar+10", image_size=8, verify=False)
    folder = created(tmp_path, RunSpec(benchmark=benchmark, method=DifairSpec(), protocol=protocol()))
    execute(folder, execution(data_root=str(tmp_path)), Events())
    trials = [
        {"number": number, "signature": folder.signature, "parameters": {"benchmark": name, "split": split}}
        for number, (name, split) in enumerate(TASKS)
    ]
    described(tmp_path, "shared", [{"name": "final", "planned": 3, "trials": trials, "reasons": [], "chosen": []}])
    return tmp_path


def _folder(root: Path) -> RunFolder:
    return RunFolder(next((root / "runs").iterdir()))


def test_each_task_has_a_row_with_its_own_numbers(root: Path) -> None:
    study = study_rows(root, "shared")
    rows = study.final_rows
    assert [(row.benchmark, row.split) for row in rows] == TASKS
    assert [row.unknown_images for row in rows] == [10, 10, 50]
    assert len({row.signature for row in rows}) == 1
    assert [row.trained_as for row in rows] == [None, "cifar+10 split 0", "cifar+10 split 0"]
    assert study.stages[0].planned == 3
    images = study_images(root, study)
    assert [len(images[row.key].outputs.unknown) for row in rows] == [10, 10, 50]


def test_scores_made_anew_are_those_of_the_run(root: Path) -> None:
    assert study_rows(root, "shared", rescore=True) == study_rows(root, "shared")
    path = _folder(root).path / "result.json"
    result = json.loads(path.read_text())
    result["evaluation"]["auroc"].pop("knn")
    for served in result["evaluation"]["served"]:
        served["auroc"].pop("knn")
    path.write_text(json.dumps(result))
    before, after = (study_rows(root, "shared", rescore=anew).final_rows for anew in (False, True))
    assert not any("knn" in row.auroc for row in before)
    assert all("knn" in row.auroc for row in after)


def test_outputs_that_cannot_be_read_are_named_and_left_out(root: Path) -> None:
    path = _folder(root).path / NAME
    path.write_bytes(path.read_bytes()[:100])
    study = study_rows(root, "shared")
    assert len(study.final_rows) == 3
    images = study_images(root, study)
    assert images.get(study.final_rows[0].key) is None
    assert NAME in next(iter(images.problems))
    pictures, problems = split_pictures(root, root, study)
    assert pictures == []
    assert NAME in problems[0]
    assert NAME in study_rows(root, "shared", rescore=True).final_problems[0]


def test_a_run_that_does_not_measure_a_task_is_named(root: Path) -> None:
    path = _folder(root).path / "result.json"
    result = json.loads(path.read_text())
    del result["evaluation"]["served"][8]
    path.write_text(json.dumps(result))
    study = study_rows(root, "shared")
    assert [(row.benchmark, row.split) for row in study.final_rows] == TASKS
    del result["evaluation"]["served"][6]
    path.write_text(json.dumps(result))
    study = study_rows(root, "shared")
    assert [(row.benchmark, row.split) for row in study.final_rows] == TASKS[:2]
    assert "does not measure cifar+50, split 1" in study.final_problems[0]


def test_one_split_is_drawn_with_its_images(root: Path) -> None:
    study = study_rows(root, "shared")
    pictures, problems = split_pictures(root, root, study)
    assert problems == []
    names = {picture.name.rpartition("_")[0] for picture in pictures}
    assert names >= {"mean_representations", "unknown_representations", "tsne", "scores", "nearest_misses"}
    assert [len(history) for history in study_histories(root, study).values()] == [2]


def test_a_warning_counts_once_for_a_run_that_serves_several_tasks(root: Path) -> None:
    notes = warning_notes(study_rows(root, "shared").final_rows)
    assert notes
    assert all(note.startswith("Warning of 1 run:") for note in notes)
