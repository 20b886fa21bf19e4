"""Importances of parameters and the Pareto front of a search, against searches whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from difair_hpc.report.canvas import save
from difair_hpc.report.searches import Setting, Trial, parameter_importances, pareto_front
from tests.report.made import row, searched
from tests.report.shown import collisions, legend, words


def grid(weight: float = 0.1, **more: Setting) -> list[Trial]:
    """Return 25 trials in which alpha decides and the coefficient hardly matters."""
    draw = np.random.default_rng(0)
    places = [(a, c) for a in (2.0, 4.0, 6.0, 8.0, 10.0) for c in (0.25, 0.3, 0.35, 0.4, 0.45)]
    return [({"alpha": a, "coefficient": c, **more}, weight * a + 0.01 * c + 0.001 * draw.random()) for a, c in places]


def shares(figure: Figure) -> dict[str, list[float]]:
    """Return the length of both bars of each parameter, the most important first."""
    (ax,) = figure.axes
    names = [text.get_text() for text in ax.get_yticklabels()][::-1]
    groups = [one for one in ax.containers if isinstance(one, BarContainer)]
    widths = [[bar.get_width() for bar in group][::-1] for group in groups]
    return {name: list(both) for name, both in zip(names, zip(*widths, strict=True), strict=True)}


def test_the_parameter_that_decides_has_the_longest_bars() -> None:
    found = shares(parameter_importances(grid()))
    assert list(found) == ["alpha", "coefficient"]
    assert all(share > 0.8 for share in found["alpha"])
    for question in range(2):
        assert sum(both[question] for both in found.values()) == pytest.approx(1)


def test_choices_by_name_count_as_parameters_and_constants_do_not() -> None:
    trials = [({**s, "kind": "a" if i % 2 else "b"}, v + (i % 2)) for i, (s, v) in enumerate(grid(rate=0.1))]
    found = shares(parameter_importances([*trials, ({**trials[0][0], "extra": 1.0}, 0.5)]))
    assert set(found) == {"alpha", "coefficient", "kind"}
    assert max(found, key=lambda name: found[name][0]) == "kind"


def test_diverged_trials_do_not_count() -> None:
    figure = parameter_importances([*grid(), ({"alpha": 99.0, "coefficient": 0.4}, math.nan)])
    assert figure.axes[0].get_title() == "Parameter importances for closed-set accuracy, 25 trials"


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ([], "0 trials with a value, at least 10 are needed"),
        (grid()[:9], "9 trials with a value, at least 10 are needed"),
        ([({"alpha": 2.0}, 0.1 * k) for k in range(10)], "no parameter changed"),
        ([(settings, 0.5) for settings, _ in grid()], "every trial has the same value"),
    ],
)
def test_what_is_missing_is_said(trials: list[Trial], said: str) -> None:
    assert said in words(parameter_importances(trials))


def test_the_files_are_the_same_each_time(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(parameter_importances(grid()), tmp_path / "one")]
    assert [path.read_bytes() for path in save(parameter_importances(grid()), tmp_path / "two")] == first


FRONT = [
    searched(10, 0.3, 0.95, 0.70),
    searched(10, 0.4, 0.94, 0.80),
    searched(8, 0.4, 0.93, 0.75),  # beaten by the one above
    searched(6, 0.45, 0.90, 0.90),
    searched(4, 0.45, 0.90, 0.85),  # as accurate as the one above, less occupancy
    searched(2, 0.6, 0.30, 1.00),  # hyperspheres overlap
]


def line(ax: Axes) -> list[tuple[float, float]]:
    (joined,) = (one for one in ax.lines if one.get_label() == "not dominated")
    return [(round(float(x), 6), round(float(y), 6)) for x, y in np.asarray(joined.get_xydata())]


def points(ax: Axes, label: str) -> int:
    return sum(len(np.asarray(one.get_xydata())) for one in ax.lines if str(one.get_label()).startswith(label))


def test_the_front_joins_what_nothing_else_beats() -> None:
    ax = pareto_front(FRONT).axes[0]
    assert line(ax) == [(70, 95), (80, 94), (90, 90)]
    assert points(ax, "dominated") == 2
    assert points(ax, "hyperspheres overlap") == 1


def test_points_of_the_front_and_the_choice_are_named() -> None:
    figure = pareto_front(FRONT, [{"alpha": 8.0, "radius_coefficient": 0.4}])
    names = [text for text in legend(figure) if text[0].isdigit()]
    assert names == [
        "1: alpha 10, coefficient 0.3, N 5",
        "2: alpha 8, coefficient 0.4, N 5",
        "3: alpha 10, coefficient 0.4, N 5",
        "4: alpha 6, coefficient 0.45, N 5",
    ]
    ax = figure.axes[0]
    chosen = [one for one in ax.lines if one.get_label() == "chosen"]
    assert np.asarray(chosen[0].get_xydata()).tolist() == [pytest.approx([75, 93])]
    assert {text.get_text(): text.xy[0] for text in ax.texts}["2"] == pytest.approx(75)  # type: ignore[attr-defined]


def test_overlapping_places_do_not_stretch_the_axes_and_are_counted() -> None:
    figure = pareto_front(FRONT)
    low, high = figure.axes[0].get_ylim()
    assert 89 < low < 90
    assert 95 < high < 96
    assert "hyperspheres overlap\n(1 of 1 beyond the axes)" in legend(figure)


def test_equal_places_share_a_number_and_runs_of_one_place_are_averaged() -> None:
    rows = [searched(10, 0.4, 0.90), searched(8, 0.4, 0.90), searched(6, 0.4, 0.8, 0.9, signature="a")]
    rows += [searched(6, 0.4, 0.9, 0.7, signature="b"), rows[0]]
    figure = pareto_front(rows)
    assert line(figure.axes[0]) == [(80, 90)] * 2
    assert points(figure.axes[0], "dominated") == 1  # (90 + 70) / 2 and (80 + 90) / 2
    assert [text for text in legend(figure) if text[0] == "1"] == [
        "1: alpha 8, coefficient 0.4, N 5",
        "1: alpha 10, coefficient 0.4, N 5",
    ]


def test_only_overlapping_or_no_places_are_drawn_without_a_front() -> None:
    ax = pareto_front([searched(2, 0.6, 0.3, 1.0)]).axes[0]
    assert points(ax, "hyperspheres overlap") == 1
    assert [one for one in ax.lines if one.get_label() == "not dominated"] == []
    assert "no run to draw yet" in words(pareto_front([row("cac"), searched(10, 0.4, None)]))


def test_no_text_covers_another() -> None:
    assert collisions(pareto_front(FRONT, [{"alpha": 8.0, "radius_coefficient": 0.4}])) == []
    assert collisions(parameter_importances(grid(features_per_class=5.0))) == []


def test_equal_accuracies_are_shown_within_a_point_of_each_other() -> None:
    places = ((0.3, 0.98), (0.4, 0.97))
    rows = [row(spec__method__radius_coefficient=c, evaluation__occupancy=o, signature=f"{c}") for c, o in places]
    ax = pareto_front(rows).axes[0]
    accuracy = 100 * (rows[0].closed_set_accuracy or 0.0)
    assert ax.get_ylim() == pytest.approx((accuracy - 0.5, accuracy + 0.5))
    left, right = ax.get_xlim()
    assert left < 97 < right < 99
