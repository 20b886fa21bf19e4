"""Pictures: what is written, hatched, framed and coloured, asked of the figure's own artists; files written whole."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from difair_hpc.errors import InvalidValue
from difair_hpc.report.figures import heat_map, save, spread_curve, training_curves, vertical_axis
from difair_hpc.report.rows import ResultRow
from tests.report.made import row, searched

ROOT_10 = math.sqrt(10)


def place(ax: Axes, x: int, y: int) -> str:
    return next(text.get_text() for text in ax.texts if text.get_position() == (x, y))


def rectangles(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def hatched(ax: Axes) -> set[tuple[float, float]]:
    return {patch.get_xy() for patch in rectangles(ax) if patch.get_hatch()}


def framed(ax: Axes) -> set[tuple[int, int]]:
    frames = [patch.get_xy() for patch in rectangles(ax) if not patch.get_fill() and not patch.get_hatch()]
    return {(round(x + 0.46), round(y + 0.46)) for x, y in frames}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def ticks(ax: Axes) -> tuple[list[str], list[str]]:
    return [t.get_text() for t in ax.get_xticklabels()], [t.get_text() for t in ax.get_yticklabels()]


def radius_grid(radii: Sequence[float] = (2, 10), alphas: Sequence[float] = (10, 2)) -> list[ResultRow]:
    return [searched(a, r / (ROOT_10 * a), 0.9 + a / 1000 + r / 10000) for a in alphas for r in radii]


def test_alpha_ascends_to_the_right_and_the_radius_upwards() -> None:
    figure = heat_map(radius_grid(), y="radius")
    ax = figure.axes[0]
    assert ticks(ax) == (["2", "10"], ["2", "10"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha", "radius r")
    assert ax.get_xlim() == (-0.5, 1.5)
    assert ax.get_ylim() == (-0.5, 1.5)
    # alpha 2, radius 2: 90 + 0.2 + 0.02; alpha 10, radius 10: 90 + 1 + 0.1
    assert place(ax, 0, 0) == "90.2"
    assert place(ax, 1, 1) == "91.1"


def test_overlap_is_hatched_and_explained() -> None:
    # alpha 2: anchors 6.32 apart, so radius 10 overlaps and 2 does not; alpha 10: anchors 31.6 apart
    figure = heat_map(radius_grid(), y="radius")
    assert hatched(figure.axes[0]) == {(-0.5, 0.5)}
    assert legend(figure) == ["hyperspheres overlap"]


def test_overlap_begins_at_one_half_on_either_axis() -> None:
    rows = [searched(10, 0.5, 0.9), searched(10, 0.4, 0.9), searched(8, 0.5, 0.9)]
    assert hatched(heat_map(rows).axes[0]) == {(-0.5, 0.5), (0.5, 0.5)}
    # radii 12.65, 12.65 (alpha 8: 0.5 * 25.298 = 12.649) and 15.81; alpha 8 overlaps at both, also where not run
    assert hatched(heat_map(rows, y="radius").axes[0]) == {(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)}


def test_the_chosen_place_is_framed() -> None:
    rows = [searched(a, c, 0.9) for a in (8, 10) for c in (1 / 3, 0.4)]
    figure = heat_map(rows, chosen=[{"alpha": 10.0, "radius_coefficient": 0.4, "features_per_class": 5}])
    assert framed(figure.axes[0]) == {(1, 1)}
    assert legend(figure) == ["chosen"]


def test_a_choice_by_coefficient_is_found_on_the_radius_axis() -> None:
    figure = heat_map(radius_grid(), y="radius", chosen=[{"alpha": 10.0, "radius_coefficient": 10 / (ROOT_10 * 10)}])
    assert framed(figure.axes[0]) == {(1, 1)}


def test_nothing_is_framed_without_a_choice() -> None:
    figure = heat_map([searched(10, 0.4, 0.9)])
    assert framed(figure.axes[0]) == set()
    assert legend(figure) == []


def test_missing_diverged_and_unmeasured_places_are_told_apart() -> None:
    rows = [searched(8, 0.4, 0.9), searched(10, 0.4, None), searched(10, 0.45, 0.9, evaluation__occupancy=None)]
    figure = heat_map(rows, metric="occupancy")
    ax = figure.axes[0]
    assert [place(ax, *at) for at in ((0, 0), (1, 0), (1, 1), (0, 1))] == ["80.0", "diverged", "no value", "not run"]
    assert legend(figure) == ["not run", "no value", "diverged"]
    faces = {patch.get_xy(): patch.get_facecolor() for patch in rectangles(ax)}
    assert faces[(-0.5, 0.5)] == to_rgba("0.90")
    assert len(set(faces.values())) == 4


def test_runs_of_one_place_are_averaged_and_counted() -> None:
    rows = [
        searched(10, 0.4, 0.90, signature="a"),
        searched(10, 0.4, 0.94, signature="b"),
        searched(10, 0.4, None, signature="c"),
        searched(10, 0.4, 0.94, signature="b"),
    ]
    assert place(heat_map(rows).axes[0], 0, 0) == "92.0\nn=2\n1 diverged"


def test_radii_computed_in_two_ways_are_one_line() -> None:
    rows = [searched(10, 4 / (ROOT_10 * 10), 0.9), searched(6, 4 / (math.sqrt(2 * 5) * 6) + 1e-12, 0.9)]
    assert ticks(heat_map(rows, y="radius").axes[0])[1] == ["4"]


def test_each_number_of_features_has_its_own_map() -> None:
    rows = [searched(10, 0.4, 0.9), searched(10, 0.4, 0.8, signature="n10", spec__method__features_per_class=10)]
    figure = heat_map(rows)
    assert [(ax.get_title(), place(ax, 0, 0)) for ax in figure.axes[:2]] == [
        ("5 features per class", "90.0"),
        ("10 features per class", "80.0"),
    ]


def test_collapsed_runs_do_not_stretch_the_colours() -> None:
    rows = [searched(10, 0.3, 0.90), searched(10, 0.4, 0.95), searched(10, 0.6, 0.10)]
    bar = heat_map(rows).axes[-1]
    assert bar.get_ylim() == pytest.approx((90, 95))


def test_equal_values_span_one_point_of_colour() -> None:
    assert heat_map([searched(10, 0.4, 0.9)]).axes[-1].get_ylim() == pytest.approx((89.5, 90.5))


def test_text_is_dark_on_light_and_light_on_dark() -> None:
    ax = heat_map([searched(8, 0.4, 0.80), searched(10, 0.4, 0.95)]).axes[0]
    assert [text.get_color() for text in ax.texts] == ["white", "black"]


def test_every_text_fits_into_its_place() -> None:
    values = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    rows = [r for r in radius_grid(values, values) if not (r.alpha == 4 and r.overlaps)]
    figure = heat_map([*rows, searched(1, 0.7, None)], y="radius")
    figure.draw_without_rendering()
    ax = figure.axes[0]
    origin, corner = ax.transData.transform([(0, 0), (1, 1)])
    for text in ax.texts:
        assert text.get_window_extent().width < corner[0] - origin[0]
        assert text.get_window_extent().height < corner[1] - origin[1]


def test_the_vertical_axis_is_the_one_that_was_searched() -> None:
    assert vertical_axis(radius_grid()) == "radius"
    assert vertical_axis([searched(a, c, 0.9) for a in (6, 8, 10) for c in (0.3, 0.4)]) == "radius_coefficient"


def test_no_rows_give_a_figure_that_says_so() -> None:
    assert "no run to draw yet" in [text.get_text() for text in heat_map([row("cac")]).texts]
    assert "no run to draw yet" in [text.get_text() for text in training_curves({}).texts]
    assert "no run to draw yet" in [text.get_text() for text in spread_curve([]).texts]


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InvalidValue, match="metric=auroc"):
        heat_map([], metric="auroc")  # type: ignore[arg-type]


HISTORY = [
    {"epoch": 0, "loss": 2.0, "weight_spread.cat": 0.03, "weight_spread.dog": 0.02},
    {"epoch": 1, "loss": math.inf, "closed_set_accuracy": 0.5, "weight_spread.cat": 0.02, "weight_spread.dog": 0.01},
    {"epoch": 2, "loss": 1.0, "attempt": 2, "weight_spread.cat": 0.015, "weight_spread.dog": 0.01},
]


def test_training_curves_have_one_panel_per_metric_found() -> None:
    figure = training_curves({"a": HISTORY, "b": HISTORY[:1]})
    assert [ax.get_ylabel() for ax in figure.axes] == ["closed_set_accuracy", "loss"]
    loss = figure.axes[1].lines[0]
    assert (list(loss.get_xdata()), list(loss.get_ydata())) == ([0.0, 2.0], [2.0, 1.0])  # type: ignore[arg-type]
    assert legend(figure) == ["a", "b"]


def test_a_long_legend_is_cut_and_says_so() -> None:
    names = legend(training_curves({f"run {number}": HISTORY for number in range(15)}, ["loss"]))
    assert names[-2:] == ["run 11", "and 3 more"]
    assert len(names) == 13


def test_the_spread_of_each_class_and_the_restarts_are_drawn() -> None:
    figure = spread_curve(HISTORY, restarts=(1, 2))
    lines = figure.axes[0].lines
    assert list(lines[0].get_ydata()) == [0.03, 0.02, 0.015]  # type: ignore[arg-type]
    assert [list(line.get_xdata()) for line in lines[2:]] == [[1, 1], [2, 2]]  # type: ignore[arg-type]
    assert legend(figure) == ["cat", "dog", "learning rate\nrestarts"]


def test_twenty_classes_look_different() -> None:
    history = [{"epoch": epoch, **{f"weight_spread.{k}": 0.01 * k for k in range(20)}} for epoch in range(2)]
    looks = {(line.get_color(), line.get_linestyle()) for line in spread_curve(history).axes[0].lines}
    assert len(looks) == 20


def test_a_figure_is_saved_three_times_with_equal_bytes_each_time(tmp_path: Path) -> None:
    figure = heat_map([searched(10, 0.4, 0.9)])
    paths = save(figure, tmp_path / "maps" / "accuracy_0.4")
    assert [path.name for path in paths] == ["accuracy_0.4.png", "accuracy_0.4.svg", "accuracy_0.4.pdf"]
    first = [path.read_bytes() for path in paths]
    assert [content[:4] for content in first] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert [path.read_bytes() for path in save(figure, tmp_path / "maps" / "accuracy_0.4.png")] == first
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted(path.name for path in paths)


def test_files_are_those_that_matplotlib_itself_would_save(tmp_path: Path) -> None:
    metadata: dict[str, dict[str, str | None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    files = save(heat_map(radius_grid()), tmp_path / "ours")
    figure = heat_map(radius_grid())
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for file in files:
        with mpl.rc_context({"svg.hashsalt": "difair"}):
            figure.savefig(tmp_path / f"theirs{file.suffix}", dpi=150, metadata=metadata[file.suffix])
        assert file.read_bytes() == (tmp_path / f"theirs{file.suffix}").read_bytes()
