"""From axes to parameters, and from a radius to the coefficient of the anchor distance."""

import pytest

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.space import (
    certain_trials,
    final_parameters,
    foreseen,
    grid,
    resolved,
    run_keys,
    searched_methods,
)
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec

ALPHA = Axis(key="method.alpha", values=(2, 6))
RADIUS = Axis(key="method.radius", values=(1, 3, 5))


def final(**changes: object) -> StageSpec:
    given: dict[str, object] = {"benchmarks": ("svhn", "mnist"), "methods": ("cac", "difair"), "splits": (3, 0)}
    return StageSpec(name="final", search="final", **{**given, "seeds": (0, 7), **changes})  # type: ignore[arg-type]


def test_the_last_axis_of_a_grid_runs_fastest_and_values_keep_their_order() -> None:
    backwards = Axis(key="method.radius", values=(5, 1))
    assert grid([ALPHA, backwards]) == [
        {"method.alpha": 2, "method.radius": 5},
        {"method.alpha": 2, "method.radius": 1},
        {"method.alpha": 6, "method.radius": 5},
        {"method.alpha": 6, "method.radius": 1},
    ]


def test_a_grid_refuses_an_interval() -> None:
    with pytest.raises(InvalidValue, match=r"space\.method\.alpha=interval .* a list of values"):
        grid([Axis(key="method.alpha", low=1.0, high=2.0)])
    with pytest.raises(InvalidValue, match=r"stages\.coarse\.space\.method\.alpha=an interval"):
        StageSpec(name="coarse", search="grid", space=(Axis(key="method.alpha", low=1.0, high=2.0),))


def test_an_axis_takes_what_an_earlier_stage_chose_once_each_and_sorted() -> None:
    taken = Axis(key="method.alpha", chosen_in="coarse")
    chosen = {"coarse": [{"method.alpha": 10.0}, {"method.alpha": 6.0}, {"method.alpha": 10.0}]}
    assert resolved([taken, RADIUS], chosen) == [Axis(key="method.alpha", values=(6.0, 10.0)), RADIUS]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, None, 2, None], (None, 0.5, 2)),
        (["sgd", "adam", "sgd"], ("adam", "sgd")),
        ([True, False, True], (False, True)),
        ([["Shear"], [], ["Shear"]], (["Shear"], [])),
        (["b", 2, None, [1], True], (None, True, 2, "b", [1])),
    ],
)
def test_values_of_any_kind_are_taken_once_each_in_an_order_of_their_own(
    values: list[object], expected: tuple[object, ...]
) -> None:
    taken = Axis(key="protocol.any", chosen_in="coarse")
    for order in (values, values[::-1]):
        (axis,) = resolved([taken], {"coarse": [{"protocol.any": value} for value in order]})
        assert sorted(map(repr, axis.values)) == sorted(map(repr, expected))
        assert axis.values == resolved([taken], {"coarse": [{"protocol.any": value} for value in values]})[0].values


def test_radius_becomes_the_share_of_the_anchor_distance() -> None:
    # Anchors with 8 features per class and alpha 5 lie sqrt(2 * 8) * 5 = 20 apart; 6 / 20 = 0.3.
    keys = {"method.alpha": 5, "method.features_per_class": 8, "method.radius": 6, "method.name": "difair"}
    expected = {"method.alpha": 5, "method.features_per_class": 8, "method.name": "difair"}
    assert run_keys(keys) == {**expected, "method.radius_coefficient": pytest.approx(0.3)}
    assert keys["method.radius"] == 6


def test_a_final_stage_is_every_benchmark_method_split_and_seed() -> None:
    runs = final_parameters(final(), {})
    assert len(runs) == 2 * 2 * 2 * 2
    assert runs[:3] == [
        {"benchmark": "svhn", "method": "cac", "split": 3, "seed": 0},
        {"benchmark": "svhn", "method": "cac", "split": 3, "seed": 7},
        {"benchmark": "svhn", "method": "cac", "split": 0, "seed": 0},
    ]
    assert runs[-1] == {"benchmark": "mnist", "method": "difair", "split": 0, "seed": 7}


def test_only_difair_and_difair_std_take_the_chosen_keys() -> None:
    methods = ("cross_entropy", "cac", "difair", "difair_std")
    stage = final(methods=methods, chosen_in="fine", benchmarks=("svhn",), splits=(0,), seeds=(0,))
    runs = final_parameters(stage, {"fine": [{"method.alpha": 8}, {"method.alpha": 2}]})
    assert [run.get("method.alpha") for run in runs] == [None, None, 8, 8]


def with_search(**stage: object) -> StudySpec:
    """Return a study whose final stage takes what a search chose."""
    search = StageSpec(**{"name": "search", "search": "grid", "space": (ALPHA,), **stage})  # type: ignore[arg-type]
    return StudySpec(name="s", stages=(search, final(chosen_in="search")))


METHOD = Axis(key="method", values=("cac", "difair"))


@pytest.mark.parametrize(
    ("study", "choice", "expected"),
    [
        (with_search(base={"method": "cac"}), {"method.alpha": 3}, [None, 3, None, None]),
        (with_search(base={"method": "difair"}), {"method.alpha": 3}, [None, None, 3, 3]),
        (with_search(base={"method": "difair_std"}), {"method.alpha": 3}, [None, None, 3, 3]),
        (with_search(), {"method.alpha": 3}, [None, None, 3, 3]),
        (with_search(space=(METHOD, ALPHA)), {"method": "cac", "method.alpha": 3}, [None, 3, None, None]),
        (with_search(space=(METHOD, ALPHA)), {"method": "difair", "method.alpha": 3}, [None, None, 3, 3]),
    ],
)
def test_a_choice_goes_to_the_method_that_was_searched(
    study: StudySpec, choice: dict[str, object], expected: list[object]
) -> None:
    methods = ("cross_entropy", "cac", "difair", "difair_std")
    stage = final(methods=methods, chosen_in="search", benchmarks=("svhn",), splits=(0,), seeds=(0,))
    runs = final_parameters(stage, {"search": [choice]}, searched_methods(study, "search"))
    assert [run.get("method.alpha") for run in runs] == expected
    assert [run["method"] for run in runs] == list(methods)


def test_a_choice_never_replaces_what_a_final_stage_names_itself() -> None:
    stage = final(chosen_in="search", methods=("difair",), benchmarks=("svhn",), splits=(3,), seeds=(7,))
    choice = {"split": 1, "seed": 2, "benchmark": "digits", "method": "difair", "protocol.learning_rate": 0.5}
    (run,) = final_parameters(stage, {"search": [choice]})
    own = {"benchmark": "svhn", "method": "difair", "split": 3, "seed": 7}
    assert run == {**own, "protocol.learning_rate": 0.5}


def test_what_is_certain_from_the_start() -> None:
    search = StageSpec(name="search", search="optuna", trials=5, space=(ALPHA,))
    assert certain_trials(search, {}, [ALPHA]) == []
    assert len(certain_trials(StageSpec(name="coarse", search="grid", space=(ALPHA, RADIUS)), {}, [])) == 6
    assert len(certain_trials(final(), {}, [])) == 16


def test_what_can_be_tried_before_an_earlier_stage_has_chosen() -> None:
    taken = Axis(key="method.alpha", chosen_in="coarse")
    fine = StageSpec(name="fine", search="grid", space=(taken, RADIUS))
    assert foreseen(fine) == [{"method.radius": 1}, {"method.radius": 3}, {"method.radius": 5}]
    interval = Axis(key="method.alpha", low=1.0, high=20.0)
    search = StageSpec(name="search", search="optuna", trials=5, space=(interval,))
    assert foreseen(search) == [{"method.alpha": 1.0}, {"method.alpha": 20.0}]
    tried = foreseen(final(chosen_in="fine"))
    assert {run["benchmark"] for run in tried} == {"svhn", "mnist"}
    assert {run["method"] for run in tried} == {"cac", "difair"}
    assert {(run["split"], run["seed"]) for run in tried} == {(3, 0), (3, 7), (0, 0), (0, 7)}
