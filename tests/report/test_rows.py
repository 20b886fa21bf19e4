"""Rows from result files: what is read, what is computed, and what is complained about."""

import math
import re

import pytest

from difair_hpc.errors import DataDamaged, InvalidValue, NewerSchema
from difair_hpc.report.page import report_text
from difair_hpc.report.results import read_rows, row_from_result
from difair_hpc.report.rows import StageRows, StudyRows, is_chosen
from difair_hpc.report.tables_of import study_tables
from difair_hpc.runs.spec import SCHEMA, run_spec
from tests.report.made import diverged, put, result, row, searched, without


def test_a_completed_difair_run() -> None:
    made = row("difair", "cifar10", 2, accuracy=0.935, auroc={"distance": 0.77, "mos": 0.85}, warnings=["partial data"])
    assert (made.benchmark, made.split, made.method, made.seed, made.epochs) == ("cifar10", 2, "difair", 0, 600)
    assert (made.closed_set_accuracy, made.occupancy, made.held_out) == (0.935, 0.8, "test")
    assert made.auroc == {"distance": 0.77, "mos": 0.85}
    assert made.warnings == ("partial data",)
    # 0.4 * sqrt(2 * 5) * 10 = 0.4 * 31.623, the paper's 12.649
    assert made.radius == pytest.approx(12.649, abs=5e-4)


def test_methods_without_hyperspheres_have_no_radius() -> None:
    assert (row("cac").alpha, row("cac").radius_coefficient, row("cac").radius) == (10.0, None, None)
    assert (row("cross_entropy").alpha, row("cross_entropy").features_per_class) == (None, None)


def test_a_diverged_run_has_no_measurements() -> None:
    made = diverged("difair", epochs=7)
    assert made.diverged
    assert (made.closed_set_accuracy, made.occupancy, made.held_out, dict(made.auroc)) == (None, None, None, {})
    assert made.epochs == 7


def test_a_benchmark_without_unknown_classes_may_have_no_auroc() -> None:
    assert dict(row(evaluation__auroc=None).auroc) == {}


def test_settings_keep_what_can_make_two_runs_incomparable() -> None:
    settings = row().settings
    assert settings["network.dropout"] == "element"
    assert settings["method.alpha"] == 10.0
    assert not {"benchmark.split", "seed", "method.name", "protocol.epochs"} & set(settings)


@pytest.mark.parametrize(
    "key",
    ["signature", "outcome", "epochs", "warnings", "spec.seed", "spec.benchmark.name", "spec.method.radius_coefficient"]
    + [f"evaluation.{key}" for key in ("closed_set_accuracy", "occupancy", "auroc", "held_out")],
)
def test_a_missing_key_is_named_with_its_file(key: str) -> None:
    with pytest.raises(DataDamaged, match=re.escape(f"runs/x/result.json: {key} is missing")):
        row_from_result(without(result(), key), where="runs/x/result.json")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("evaluation.closed_set_accuracy", 97.0, "a share from 0 to 1"),
        ("evaluation.closed_set_accuracy", math.nan, "a number belongs"),
        ("evaluation.closed_set_accuracy", True, "a number belongs"),
        ("evaluation", None, "is missing"),
        ("evaluation.auroc", {"mos": "high"}, "evaluation.auroc.mos is 'high'"),
        ("epochs", 1.5, "a whole number"),
        ("spec.method", "difair", "is missing"),
        ("warnings", "careful", "a list belongs"),
        ("signature", 12, "a text belongs"),
        ("outcome", "lost", "neither completed nor diverged"),
        ("spec.method.features_per_class", -5, "at least 1 belongs"),
        ("evaluation.fpr95", {"mos": 1.2}, "evaluation.fpr95.mos is 1.2 where a share"),
        ("evaluation.oscr", {"mos": 0.2}, "evaluation.oscr.mos is above"),  # there is no AUROC beside it
        ("versions", "2.9", "a mapping belongs"),
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object, problem: str) -> None:
    with pytest.raises(DataDamaged, match=re.escape(problem)):
        row_from_result(put(result(), key, value))


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(NewerSchema, match=f"schema {SCHEMA + 1}.*up to {SCHEMA}"):
        row_from_result(result(schema=SCHEMA + 1))


MEASURED = {
    "auroc": {"mos": 0.8},
    "oscr": {"mos": 0.75},
    "fpr95": {"mos": 0.6},
    "aupr": {"mos": 0.7},
    "known_images": 60,
    "unknown_images": 40,
}
RECORDED = {"versions": {"torch": "2.9"}, "data_fingerprint": "d", "weights_sha256": "w"}


def test_all_metrics_and_what_computed_them_are_read() -> None:
    measured = {f"evaluation__{key}": value for key, value in MEASURED.items()}
    made = row(**measured, **RECORDED)
    assert {key: getattr(made, key) for key in MEASURED} == MEASURED
    assert (made.seconds, made.attempts, made.versions) == (12.3, 1, {"torch": "2.9"})
    assert row(hardware={"precision": "bfloat16"}, **RECORDED).versions == {"torch": "2.9", "precision": "bfloat16"}
    assert (made.data_fingerprint, made.weights, made.trained_as) == ("d", "w", None)


def test_an_older_result_lacks_them_without_a_complaint() -> None:
    made = row_from_result(without(without(result(), "seconds"), "attempts"))
    assert (made.oscr, made.fpr95, made.aupr, made.versions) == ({}, {}, {}, {})
    assert {made.known_images, made.unknown_images, made.seconds, made.attempts} == {None}
    assert {made.data_fingerprint, made.weights, made.trained_as} == {None}


@pytest.mark.parametrize(("oscr", "auroc", "accuracy"), [(0.71, 0.7, 0.9), (0.71, 0.9, 0.7)])
def test_an_oscr_above_what_bounds_it_is_refused(oscr: float, auroc: float, accuracy: float) -> None:
    with pytest.raises(DataDamaged, match=re.escape("evaluation.oscr.mos is above the accuracy or the AUROC")):
        row(accuracy=accuracy, auroc={"mos": auroc}, evaluation__oscr={"mos": oscr})


def signed(**changes: object) -> tuple[str, dict[str, object]]:
    """Return a result as a run writes it: its signature is that of its spec."""
    content = result(auroc={"mos": 0.8}, schema=SCHEMA)
    assert isinstance(content["spec"], dict)
    signature = run_spec(content["spec"]).signature
    content["signature"] = signature
    for key, value in changes.items():
        put(content, key.replace("__", "."), value)
    return signature, content


def test_whole_results_are_read_and_open_runs_are_no_problem() -> None:
    signature, content = signed()
    rows, problems = read_rows({signature: content, "open": None})
    assert [made.signature for made in rows] == [signature]
    assert problems == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spec__protocol__epochs": 500}, "spec is that of another run"),
        ({"spec__protocol__epoch": 5}, "unknown key protocol.epoch"),
        ({"spec__method__alpha": -1.0}, "method.alpha=-1.0"),
        ({"signature": "0123456789ab"}, "signature is 0123456789ab, another run's"),
        ({"evaluation__auroc__mos": 1.2}, "evaluation.auroc.mos is 1.2"),
        ({"schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}"),
        ({"schema": "new"}, "schema is 'new'"),
    ],
)
def test_an_edited_result_is_named_and_left_out(changes: dict[str, object], words: str) -> None:
    signature, content = signed(**changes)
    rows, problems = read_rows({signature: content})
    assert rows == ()
    assert len(problems) == 1
    assert words in problems[0]
    assert f"runs/{signature}/result.json" in problems[0]


@pytest.mark.parametrize("content", [{}, [], "text"])
def test_a_file_that_is_no_result_is_named_and_left_out(content: object) -> None:
    signature, good = signed()
    rows, problems = read_rows({"torn": content, signature: good})
    assert [made.signature for made in rows] == [signature]
    assert len(problems) == 1
    assert problems[0].startswith("Left out: runs/torn/result.json: schema is missing.")


def test_an_older_schema_needs_no_signature_of_today() -> None:
    signature, content = signed(spec__protocol__epochs=5, schema=SCHEMA - 1)
    assert [made.signature for made in read_rows({signature: content})[0]] == [signature]


@pytest.mark.parametrize(
    ("coefficient", "overlaps"), [(0.49, False), (0.5, True), (0.1 + 0.4 - 1e-12, True), (0.7, True)]
)
def test_overlap_begins_at_one_half(coefficient: float, overlaps: bool) -> None:
    assert searched(10, coefficient, 0.9).overlaps is overlaps


def test_chosen_needs_agreement_in_all_shared_values() -> None:
    values: dict[str, float | None] = {"alpha": 10.0, "radius_coefficient": 0.4, "radius": 12.64911}
    assert is_chosen(values, [{"alpha": 10.0, "radius": 12.649}])
    assert is_chosen(values, [{"alpha": 6.0}, {"alpha": 10.0}])
    assert not is_chosen(values, [{"alpha": 8.0, "radius": 12.649}])
    assert not is_chosen(values, [])
    assert not is_chosen(values, [{"learning_rate": 0.1}])


def test_final_rows_come_from_the_final_stage_only() -> None:
    stages = (
        StageRows(stage="coarse", rows=(row(),), planned=1),
        StageRows(stage="final", rows=(row("cac"),), planned=1),
    )
    assert [made.method for made in StudyRows(study="s", stages=stages).final_rows] == ["cac"]


def test_stages_whose_files_would_collide_are_refused() -> None:
    stages = (StageRows(stage="Fine 1", rows=(), planned=0), StageRows(stage="fine-1", rows=(), planned=0))
    with pytest.raises(InvalidValue, match="Fine 1"):
        StudyRows(study="s", stages=stages)


@pytest.mark.parametrize(
    ("name", "search", "final"),
    [("main", "final", True), ("final", "grid", False), ("final", "", True), ("coarse", "", False)],
)
def test_a_final_stage_is_known_by_its_search(name: str, search: str, final: bool) -> None:
    stage = StageRows(stage=name, search=search, rows=(row(),), planned=1)
    assert stage.is_final == final
    study = StudyRows(study="s", stages=(stage,))
    assert len(study.final_rows) == final
    tables = study_tables(study)
    assert (f"grid_{stage.slug}" in tables) != final
    assert ("no final stage" in report_text(study, tables, ())) != final
