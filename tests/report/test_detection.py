"""Histograms, ROC and OSCR: points and areas against numbers worked by hand, ties, and what stands on the axes."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from numpy.typing import NDArray

from difair_hpc.osr.metrics import auroc, oscr
from difair_hpc.report.detection import (
    Detection,
    detection,
    oscr_figure,
    oscr_points,
    roc_figure,
    roc_points,
    score_histograms,
)
from difair_hpc.report.images import RunImages
from tests.report.runs import made_run, trained_run
from tests.report.shown import collisions, legend, words

HAND = Detection(
    label="$hand$",
    known_B=np.array([1.0, 2.0, 2.0, 4.0]),
    unknown_B=np.array([2.0, 3.0]),
    correct_B=np.array([True, True, False, True]),
)


def test_the_roc_curve_passes_equal_scores_in_one_step() -> None:
    # Thresholds 4, 3, 2, 1: above 4 nothing, above 3 one known, above 2 it and one unknown, above 1 all but one known.
    x, y = roc_points(HAND)
    assert list(x) == [0, 0.25, 0.25, 0.75, 1]
    assert list(y) == [0, 0, 0.5, 1, 1]


def test_the_oscr_curve_ends_at_the_accuracy() -> None:
    # Up to 1: one correct known; up to 2: two, and one unknown; up to 3: both unknown; up to 4: three correct.
    x, y = oscr_points(HAND)
    assert list(x) == [0, 0, 0.5, 1, 1]
    assert list(y) == [0, 0.25, 0.5, 0.5, 0.75]


def area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_the_metrics_ties_included(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one = Detection(
        label="x",
        known_B=draw.integers(0, 12, 80).astype(float),
        unknown_B=draw.integers(4, 16, 50).astype(float),
        correct_B=draw.random(80) < 0.8,
    )
    assert area(*roc_points(one)) == pytest.approx(auroc(one.known_B, one.unknown_B))
    assert area(*oscr_points(one)) == pytest.approx(oscr(one.known_B, one.correct_B, one.unknown_B))


def test_no_correct_image_gives_a_flat_oscr_curve() -> None:
    assert set(oscr_points(replace(HAND, correct_B=np.zeros(4, dtype=bool)))[1]) == {0.0}


def test_legends_give_areas_and_axes_say_which_class_is_positive() -> None:
    # 8 pairs: known 1 below both, each known 2 below 3 and tied with 2, known 4 above both: (2 + 2 * 1.5) / 8.
    # Correct are 1 (2 pairs), one 2 (1.5) and 4 (0): 3.5 / 8.
    roc, curve = roc_figure([HAND, HAND]), oscr_figure([HAND])
    assert legend(roc) == [r"\$hand\$: 0.625"] * 2
    assert legend(curve) == [r"\$hand\$: 0.438"]
    assert "unknown is positive" in roc.axes[0].get_ylabel()
    assert "known is positive" in curve.axes[0].get_ylabel()
    assert (roc.axes[0].get_xlabel(), curve.axes[0].get_xlabel()) == (
        "known images rejected (false positive rate)",
        "unknown images accepted (false positive rate)",
    )


def test_lines_differ_in_colour_and_dashes() -> None:
    lines = roc_figure([HAND] * 12).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12
    assert len({line.get_linestyle() for line in lines[:4]}) == 4


def test_no_unknown_images_are_said() -> None:
    empty = replace(HAND, unknown_B=np.array([]))
    for figure in (roc_figure([]), oscr_figure([empty])):
        assert "no run with unknown images yet" in words(figure)
    known_only = made_run(["cat", "dog"], unknown_classes=0)
    assert "all classes of this split are known" in words(score_histograms(known_only))


def test_a_run_s_detection_is_that_of_its_metrics() -> None:
    run = trained_run()
    one = detection(run, "mos", "MOS")
    assert auroc(one.known_B, one.unknown_B) == pytest.approx(run.row.auroc["mos"])
    assert one.correct_B.mean() == run.row.closed_set_accuracy


def bars(run: RunImages) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return heights and edges of the first panel's histograms by their entry in the legend."""
    patches = [patch for patch in score_histograms(run).axes[0].patches if isinstance(patch, StepPatch)]
    return {str(patch.get_label()): (patch.get_data()[0], patch.get_data()[1]) for patch in patches}


def with_scores(known: list[float], unknown: list[float], names: tuple[str, ...] = ("own",)) -> RunImages:
    run = made_run(["cat"], images=len(known), unknown_classes=1)
    sides = []
    for side, values in ((run.known, known), (run.unknown, unknown)):
        padded = [*values, *values[-1:] * (len(known) - len(values))]
        sides.append(replace(side, scores=dict.fromkeys(names, np.array(padded))))
    return replace(run, known=sides[0], unknown=sides[1])


def test_histograms_share_bins_and_each_side_adds_up_to_one() -> None:
    found = bars(trained_run())
    (known, edges), (unknown, others) = found["known"], found["unknown"]
    np.testing.assert_array_equal(edges, others)
    assert known.sum() == pytest.approx(1)
    assert unknown.sum() == pytest.approx(1)
    assert known[0] > unknown[0]


def test_own_scores_come_first_with_their_auroc_and_nine_are_drawn() -> None:
    run = trained_run()
    titles = [ax.get_title() for ax in score_histograms(run).axes]
    assert titles == [f"{name} (AUROC {100 * run.row.auroc[name]:.1f} %)" for name in ("distance", "mos")]
    many = score_histograms(with_scores([1, 2], [2, 3], tuple(f"s{k}" for k in range(12))))
    assert [ax.get_title().split()[0] for ax in many.axes] == [f"s{k}" for k in range(9)]
    assert legend(many) == ["known", "unknown"]


def test_scores_over_many_magnitudes_get_a_logarithmic_axis() -> None:
    assert score_histograms(with_scores([1e-6, 1e-3], [1e-2, 1])).axes[0].get_xscale() == "log"
    assert score_histograms(with_scores([-1, 1e-3], [1e-2, 1])).axes[0].get_xscale() == "linear"


def test_equal_scores_and_scores_that_are_no_numbers_do_not_break_a_panel() -> None:
    assert bars(with_scores([3, 3], [3, 3]))["known"][0].sum() == 1
    broken = score_histograms(with_scores([3, float("nan")], [float("inf"), 1]))
    assert broken.axes[0].get_title() == "own: 2 of 4 scores are not finite"


@pytest.mark.slow
def test_no_text_covers_another() -> None:
    many = with_scores([-12345, 2, 3], [2, 3, 4000], tuple(f"a_longer_name_{k}" for k in range(9)))
    for figure in (score_histograms(trained_run("cross_entropy")), score_histograms(many), roc_figure([HAND] * 9)):
        assert collisions(figure) == []
    assert collisions(oscr_figure([HAND] * 9)) == []
