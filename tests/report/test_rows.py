"""Rows from result files: what is read, what is computed, and what is complained about."""

import math
import re

import pytest

from difair_hpc.errors import DataDamaged, InvalidValue, NewerSchema
from difair_hpc.report.rows import StageRows, StudyRows, is_chosen, row_from_result
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
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object, problem: str) -> None:
    with pytest.raises(DataDamaged, match=re.escape(problem)):
        row_from_result(put(result(), key, value))


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(NewerSchema, match="schema 2.*up to 1"):
        row_from_result(result(schema=2))


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
