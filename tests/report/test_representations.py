"""Hinton diagrams: whose mean it is, what an area says, which unknown images are shown, and that all can be read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from difair_hpc.report.images import RunImages
from difair_hpc.report.representations import mean_representations, unknown_representations
from difair_hpc.report.views import class_means
from tests.report.runs import made_run, trained_run
from tests.report.shown import collisions, words

LONG = [f"a_rather_long_name_{k}" for k in range(19)] + ["$x_1$ and $y$"]


def squares(ax: Axes) -> dict[tuple[float, float], float]:
    """Return the signed area in cells of each square of a block by its centre; hollow ones are negative."""
    found = {}
    for collection in (one for one in ax.collections if isinstance(one, PolyCollection)):
        hollow = len(collection.get_facecolor()) == 0
        for path in collection.get_paths():
            (x0, y0), (x1, y1) = path.get_extents().get_points()
            found[(round((x0 + x1) / 2, 3), round((y0 + y1) / 2, 3))] = (x1 - x0) * (y1 - y0) * (-1 if hollow else 1)
    return found


def inside(ax: Axes) -> dict[tuple[float, float], float]:
    return {at: area for at, area in squares(ax).items() if at[1] > 0}


def blocks(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if not ax.images]


def labels(texts: Sequence[Text]) -> list[str]:
    return [text.get_text() for text in texts]


def test_the_mean_is_that_of_correctly_classified_training_images() -> None:
    run = made_run(["cat", "dog"], per_class=2, images=5)  # reach 10, 8, 6, 4 and 2 of their own anchor
    np.testing.assert_allclose(class_means(run), [[6, 6, 0, 0], [0, 0, 6, 6]], rtol=1e-6)
    train = run.outputs.train
    labels_B = train.labels_B.clone()
    labels_B[4] = 1  # the image at 2 is a dog that is taken for a cat: it counts for neither
    outputs = replace(run.outputs, train=replace(train, labels_B=labels_B))
    np.testing.assert_allclose(class_means(replace(run, outputs=outputs)), [[7, 7, 0, 0], [0, 0, 6, 6]], rtol=1e-6)


@pytest.mark.parametrize("method", ["cross_entropy", "cac"])
def test_the_means_are_the_centres_of_methods_that_have_such(method: str) -> None:
    run = trained_run(method)
    assert run.points_KD is not None
    np.testing.assert_allclose(class_means(run), run.points_KD)


def test_areas_are_as_the_values_and_negative_squares_are_hollow() -> None:
    run = trained_run()
    figure = mean_representations(run)
    found = inside(figure.axes[0])
    means_KD = class_means(run)
    largest = np.abs(means_KD).max()
    for k, mean_D in enumerate(means_KD):
        for d, value in enumerate(mean_D):
            assert found[(d + 0.5, k + 0.5)] == pytest.approx(0.92**2 * value / largest, abs=1e-9)
    assert min(found.values()) < 0


def test_the_scale_above_is_drawn_as_the_squares_are() -> None:
    figure = mean_representations(made_run(["cat", "dog"], per_class=2, images=5))
    above = {at: area for at, area in squares(figure.axes[0]).items() if at[1] < 0}
    assert sorted(above.values()) == pytest.approx([0.92**2 / 4, 0.92**2])
    assert labels(figure.axes[0].texts) == ["6 (the largest)", "1.5"]


def test_features_stand_below_their_class_and_classes_in_lines() -> None:
    ax = mean_representations(made_run(["cat", "dog", "eel"], per_class=4)).axes[0]
    assert labels(ax.get_yticklabels()) == labels(ax.get_xticklabels()) == ["cat", "dog", "eel"]
    assert list(ax.get_xticks()) == [2, 6, 10]
    assert {patch.get_bbox().bounds for patch in ax.patches} == {(0, 0, 4, 1), (4, 1, 4, 1), (8, 2, 4, 1)}  # type: ignore[attr-defined]


RUNS: dict[str, Callable[[], RunImages]] = {
    "difair": trained_run,
    "cac": lambda: trained_run("cac"),
    "cross_entropy": lambda: trained_run("cross_entropy"),
    "20 classes": lambda: made_run(LONG, per_class=5, unknown_classes=180, images=2, noise=1, pictures=True),
    "4 classes": lambda: made_run(["ship", "automobile", "cat", "truck"], per_class=5, unknown_classes=10, noise=1),
}


@pytest.mark.parametrize(("name", "columns"), [("cross_entropy", 43), ("20 classes", 50)])
def test_many_features_continue_in_further_blocks_of_the_same_scale(name: str, columns: int) -> None:
    run = RUNS[name]()
    figure = mean_representations(run)
    cells = set()
    for ax in figure.axes:
        box = ax.get_position()
        wide, high = figure.get_size_inches()
        cells.add((round(box.width * wide / columns, 6), round(box.height * high / len(run.class_names), 6)))
        assert ax.get_xlim() == (0, columns)
    assert len(cells) == 1
    assert len(figure.axes) == math.ceil(class_means(run).shape[1] / columns)
    (wide, high) = cells.pop()
    assert 0.08 < wide <= high + 1e-6


def test_features_of_no_class_are_numbered() -> None:
    numbers = [labels(ax.get_xticklabels()) for ax in mean_representations(trained_run("cross_entropy")).axes]
    assert sum(numbers, []) == [str(10 * k) for k in range(13)]


def test_a_class_without_a_correct_image_says_so() -> None:
    run = made_run(["cat", "dog"], images=5)
    train = replace(run.outputs.train, labels_B=run.outputs.train.labels_B * 0)
    figure = mean_representations(replace(run, outputs=replace(run.outputs, train=train)))
    assert labels(figure.axes[0].get_yticklabels()) == ["cat", "dog (none right)"]


def test_single_unknown_images_are_the_most_known_and_the_median_of_each_class() -> None:
    # Unknown images reach 5, 4, 3, 2 and 1 on two features: 5, 6, 7, 8 and 9 from the anchor, times the root of 2.
    ax = unknown_representations(made_run(["cat", "dog"], per_class=2, images=5, unknown_classes=2)).axes[0]
    assert labels(ax.get_yticklabels()) == [
        "unknown_0 → cat\nmost known, score 7.07",
        "unknown_0 → cat\nmedian, score 9.9",
        "unknown_1 → dog\nmost known, score 7.07",
        "unknown_1 → dog\nmedian, score 9.9",
    ]
    rows = sorted({y for _, y in inside(ax)})
    areas = [[area for (_, y), area in sorted(inside(ax).items()) if y == row] for row in rows]
    assert areas == [pytest.approx([0.92**2 * share] * 2, rel=1e-5) for share in (1, 0.6, 1, 0.6)]


def test_pictures_stand_beside_their_lines_where_they_are_at_hand() -> None:
    run = trained_run()
    figure = unknown_representations(run)
    pictures = [ax for ax in figure.axes if ax.images]
    (block,) = blocks(figure)
    figure.draw_without_rendering()
    assert len(pictures) == len(block.get_yticks()) == 8  # digits have four unknown classes
    for ax, y in zip(pictures, block.get_yticks(), strict=True):
        assert ax.bbox.y0 < block.transData.transform((0, y))[1] < ax.bbox.y1
        assert ax.bbox.x1 < block.bbox.x0
    shown = np.asarray(pictures[0].images[0].get_array())
    own = run.unknown.scores["distance"].copy()
    own[run.outputs.unknown.labels_B.numpy() != min(run.unknown_names)] = np.inf
    assert run.pictures is not None
    np.testing.assert_array_equal(shown, run.pictures["unknown"][own.argmin()][0])
    assert not [ax for ax in unknown_representations(replace(run, pictures=None)).axes if ax.images]


def test_a_split_without_unknown_classes_says_so() -> None:
    assert "all classes of this split are known" in words(
        unknown_representations(made_run(["a", "b"], unknown_classes=0))
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_no_text_covers_another(name: str) -> None:
    run = RUNS[name]()
    for figure in (mean_representations(run), unknown_representations(run)):
        assert collisions(figure) == []
        assert figure.get_size_inches()[0] == 7
        assert figure.get_size_inches()[1] < 10


def test_names_are_printed_as_they_are() -> None:
    ax = mean_representations(made_run(["$x_1$ and $y$", "dog"])).axes[0]
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    shown = ax.get_yticklabels()[0]
    plain = ax.text(0, 0, "$x_1$ and $y$", fontsize=7, parse_math=False)
    assert shown.get_window_extent().width == pytest.approx(plain.get_window_extent().width)


def test_long_names_lose_their_middle_and_stay_apart() -> None:
    names = ["a name of eighteen", "a_rather_long_name_12", "a_rather_long_name_13"]
    shown = labels(mean_representations(made_run(names)).axes[0].get_yticklabels())
    assert shown == ["a name of eighteen", "a_rather_…_name_12", "a_rather_…_name_13"]
