"""What an experiment of MLflow says of its study, to the pages and to those who read them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from difair_hpc.runs.shown import NOTE, NOTE_LIMIT, VIEW, first_tags, keep_report, run_count
from difair_hpc.runs.tracking import default_uri, pages
from tests.marks import USES_MLFLOW
from tests.runs.shown import client, shown, tracker

if TYPE_CHECKING:
    from mlflow.entities import Experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("migrated"),
    *USES_MLFLOW,
]


def experiment(root: Path) -> "Experiment":
    found = client(root).get_experiment_by_name("digits")
    assert found is not None
    return found


def test_an_experiment_begins_with_its_kind_a_description_and_a_view(tmp_path: Path) -> None:
    tags = first_tags("digits", tmp_path)
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert str(tmp_path) in tags[NOTE]
    view = json.loads(tags[VIEW])
    assert isinstance(view["createdAt"], int)
    state = json.loads(view["state"])
    assert state["searchFilter"] == "tags.`difair.kind` = 'run'"
    assert "metrics.`closed_set_accuracy`" in state["selectedColumns"]


def test_the_study_is_described_and_its_report_kept_once(tmp_path: Path) -> None:
    by = tracker(tmp_path)
    by.settle(live=True)
    assert experiment(tmp_path).tags.items() >= {"mlflow.experimentKind": "custom_model_development"}.items()
    number = experiment(tmp_path).experiment_id
    page = f"#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey=difair"
    found = pages(default_uri(tmp_path))
    assert found.pop("unused").startswith("#/experiments/"), "of the empty store that is copied"
    assert found == {"digits": page}
    study = tmp_path / "studies/digits"
    (study / "report").mkdir(parents=True)
    report = study / "report/report.html"
    report.write_text("<p>")
    for note in ("first", "x" * (NOTE_LIMIT + 1)):
        keep_report(study, [report], note)
        by.finish_study()
        (run,) = shown(tmp_path, "study")
        assert run.data.tags[NOTE] == experiment(tmp_path).tags[NOTE] == note[:NOTE_LIMIT]
    assert [file.path for file in client(tmp_path).list_artifacts(run.info.run_id, "report")] == ["report/report.html"]
    tracker(tmp_path).settle(live=True)
    assert experiment(tmp_path).tags[NOTE] == "x" * NOTE_LIMIT, "opening it again keeps it"


def test_a_study_without_a_report_is_finished_and_gets_it_later(tmp_path: Path) -> None:
    by = tracker(tmp_path)
    by.finish_study()
    by.settle(live=False)
    (run,) = shown(tmp_path, "study")
    assert run.info.status == "FINISHED"
    page = tmp_path / "studies/digits/report/report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    keep_report(tmp_path / "studies/digits", [page], "now there is one")
    by.finish_study()
    assert [file.path for file in client(tmp_path).list_artifacts(run.info.run_id, "report")] == ["report/report.html"]
    assert experiment(tmp_path).tags[NOTE] == "now there is one"


def test_a_study_of_an_earlier_version_gets_its_view_and_keeps_its_description(tmp_path: Path) -> None:
    tracker(tmp_path).settle(live=True)
    seen, number = client(tmp_path), experiment(tmp_path).experiment_id
    for key in (VIEW, NOTE):
        seen.delete_experiment_tag(number, key)
    seen.set_experiment_tag(number, NOTE, "mine")
    tracker(tmp_path).settle(live=True)
    tags = experiment(tmp_path).tags
    assert (tags[NOTE], VIEW in tags) == ("mine", True)


@pytest.mark.parametrize(
    ("count", "verb", "words"),
    [(0, "are", "0 runs are"), (1, "are", "1 run is"), (1, "have", "1 run has"), (2, "", "2 runs")],
)
def test_a_number_of_runs_in_words(count: int, verb: str, words: str) -> None:
    assert run_count(count, verb) == words
