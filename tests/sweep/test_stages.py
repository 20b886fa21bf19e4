"""Which configuration a finished stage chooses, and the words it gives for it."""

import pytest

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.spec import ChoiceRule
from difair_hpc.sweep.stages import Candidate, Choice, choose, describe


def candidate(
    alpha: float, coefficient: float, accuracy: float | None, occupancy: float | None = 0.5, name: str = ""
) -> Candidate:
    searched = {"method.alpha": alpha, "method.radius_coefficient": coefficient}
    metrics = {} if accuracy is None else {"closed_set_accuracy": accuracy, "occupancy": occupancy}
    return Candidate(
        signature=name or f"{alpha}-{coefficient}",
        parameters=searched,
        keys={**searched, "method.features_per_class": 5},
        metrics=metrics,
    )


def picked(choice: Choice) -> list[tuple[float, float]]:
    return [(chosen["method.alpha"], chosen["method.radius_coefficient"]) for chosen in choice.chosen]


GRID = [
    candidate(2, 0.3, 0.80, 0.9),
    candidate(6, 0.3, 0.90, 0.7),
    candidate(6, 0.45, 0.89, 0.8),
    candidate(10, 0.4, 0.88, 0.6),
    candidate(10, 0.35, 0.87, 0.75),
    candidate(4, 0.6, 0.99, 1.0),  # overlaps
    candidate(8, 0.4, None),  # diverged
]


def test_without_tolerance_the_best_is_chosen() -> None:
    assert picked(choose(ChoiceRule(), GRID)) == [(6, 0.3)]


@pytest.mark.parametrize("coefficient", [0.5, 0.500001, 3.0])
def test_overlapping_hyperspheres_are_never_chosen(coefficient: float) -> None:
    overlapping = candidate(4, coefficient, 0.99)
    assert picked(choose(ChoiceRule(), [overlapping, candidate(2, 0.4999, 0.1)])) == [(2, 0.4999)]
    assert choose(ChoiceRule(), [overlapping]).chosen == ()


def test_a_method_without_a_radius_is_eligible() -> None:
    plain = Candidate(
        signature="a", parameters={"method.alpha": 3}, keys={"method.alpha": 3}, metrics={"closed_set_accuracy": 0.2}
    )
    assert choose(ChoiceRule(), [plain]).chosen == ({"method.alpha": 3},)


@pytest.mark.parametrize(
    ("tolerance", "prefer", "expected"),
    [
        (0.0, "largest method.alpha", (6, 0.3)),
        (0.015, "largest method.alpha", (6, 0.3)),  # 10 is 2 points worse; of the two alphas 6 the more accurate
        (0.0201, "largest method.alpha", (10, 0.4)),
        (0.2, "smallest method.alpha", (2, 0.3)),
        (0.2, "largest method.radius_coefficient", (6, 0.45)),
        (0.2, "nearest method.radius_coefficient 0.4", (10, 0.4)),
        (0.2, "nearest method.radius_coefficient 0.36", (10, 0.35)),
        (0.2, "highest occupancy", (2, 0.3)),
        (0.015, "highest occupancy", (6, 0.45)),
    ],
)
def test_preferences_order_those_within_the_tolerance(
    tolerance: float, prefer: str, expected: tuple[float, float]
) -> None:
    assert picked(choose(ChoiceRule(tolerance=tolerance, prefer=(prefer,)), GRID)) == [expected]


def test_later_preferences_break_ties_of_earlier_ones_and_accuracy_breaks_the_rest() -> None:
    rule = ChoiceRule(tolerance=0.2, prefer=("nearest method.radius_coefficient 0.4", "largest method.alpha"), keep=4)
    # Distances from 0.4: (10, .4) 0; (10, .35) and (6, .45) both .05, the larger alpha first; then the 0.3.
    assert picked(choose(rule, GRID)) == [(10, 0.4), (10, 0.35), (6, 0.45), (6, 0.3)]
    assert picked(choose(ChoiceRule(tolerance=0.2, keep=2), GRID)) == [(6, 0.3), (6, 0.45)]


def test_values_of_one_axis_are_kept_once_each_best_first() -> None:
    rule = ChoiceRule(tolerance=0.2, prefer=("largest method.alpha",), of="method.alpha", keep=2)
    assert choose(rule, GRID).chosen == ({"method.alpha": 10}, {"method.alpha": 6})
    assert len(choose(ChoiceRule(tolerance=0.2, of="method.alpha", keep=9), GRID).chosen) == 3


def test_occupancy_can_be_the_metric() -> None:
    assert picked(choose(ChoiceRule(metric="occupancy"), GRID)) == [(2, 0.3)]


def test_the_reasons_in_words() -> None:
    rule = ChoiceRule(tolerance=0.02001, prefer=("nearest method.radius_coefficient 0.4", "largest method.alpha"))
    assert choose(rule, GRID).reasons == (
        "5 of 7 configurations are eligible: radius coefficient below 0.5, training did not diverge.",
        "The best closed_set_accuracy is 0.9000 (method.alpha=6, method.radius_coefficient=0.3); "
        "3 within 0.02001 of it count as equally good.",
        "Among these the order is: nearest method.radius_coefficient 0.4, then largest method.alpha.",
        "Chosen: method.alpha=10, method.radius_coefficient=0.4.",
    )


@pytest.mark.parametrize("candidates", [[], [candidate(4, 0.6, 0.9)], [candidate(4, 0.3, None)]])
def test_where_nothing_is_eligible_nothing_is_chosen_and_that_is_said(candidates: list[Candidate]) -> None:
    choice = choose(ChoiceRule(), candidates)
    assert choice.chosen == ()
    assert choice.reasons == (
        f"0 of {len(candidates)} configurations are eligible: radius coefficient below 0.5, training did not diverge.",
        "Nothing can be chosen.",
    )


def test_parameters_as_a_phrase() -> None:
    assert describe({"method.alpha": 10.0, "split": 2, "method": "cac"}) == "method.alpha=10, split=2, method=cac"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"keep": 0}, "choose.keep=0"),
        ({"tolerance": -0.1}, "choose.tolerance=-0.1"),
        ({"prefer": ("biggest method.alpha",)}, "biggest method.alpha"),
        ({"prefer": ("nearest method.alpha",)}, "nearest method.alpha"),
        ({"prefer": ("nearest method.alpha ten",)}, "a number as VALUE"),
        ({"prefer": ("highest occupency",)}, "closed_set_accuracy, occupancy"),
        ({"prefer": ("",)}, "choose.prefer"),
    ],
)
def test_a_rule_that_nobody_understands_is_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        ChoiceRule(**values)  # type: ignore[arg-type]
    assert named in str(caught.value)


@pytest.mark.parametrize("word", ["largest KEY", "smallest KEY", "nearest KEY 1"])
@pytest.mark.parametrize("values", [(None, 0.5), ("adam", 0.5), (["Rotate"], 0.5)])
def test_a_study_whose_rule_cannot_be_followed_still_ends_with_a_choice(word: str, values: tuple[object, ...]) -> None:
    """Such a rule is refused now; a study that began with one has trained its runs already."""
    key = "protocol.warmup_epochs"
    candidates = [
        Candidate(signature=str(n), parameters={key: value}, keys={key: value}, metrics={"closed_set_accuracy": 0.5})
        for n, value in enumerate(values)
    ]
    rule = ChoiceRule(prefer=(word.replace("KEY", key),), of=key, keep=2)
    assert choose(rule, candidates).chosen == ({key: 0.5}, {key: values[0]})
