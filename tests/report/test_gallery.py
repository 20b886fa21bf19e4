"""All pictures of a run: their names and captions, what a half-finished run gives, and one line per method."""

from dataclasses import replace

import pytest

from difair_hpc.report.gallery import comparison_pictures, run_pictures
from tests.report.runs import made_run, trained_run
from tests.report.shown import legend, words

KINDS = ["mean_representations", "unknown_representations", "tsne", "scores", "nearest_misses"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "figures"),
    [
        ("difair", ["Figures 3a and 5a", "like the paper's Figure 5c", "Figures 6a and 6c"]),
        ("cross_entropy", ["Figures 3a and 5b", "like the paper's Figure 5c", "like the paper's Figure 6"]),
    ],
)
def test_captions_say_which_run_and_which_figure_of_the_paper(method: str, figures: list[str]) -> None:
    pictures = list(run_pictures(trained_run(method)))
    assert [picture.name for picture in pictures] == [f"{kind}_run-{method}" for kind in KINDS]
    for picture in pictures:
        assert f"digits split 0, seed 0 (run run-{method})" in picture.caption
        assert picture.figure.axes
    for picture, figure in zip(pictures, [*figures, "Table 1", "not in the paper"], strict=True):
        assert figure in picture.caption


def test_a_split_without_unknown_classes_gives_every_picture_all_the_same() -> None:
    pictures = {p.name: p for p in run_pictures(made_run(["cat", "dog"], images=10, unknown_classes=0))}
    assert list(pictures) == [f"{kind}_made" for kind in KINDS]
    assert "all classes of this split are known" in words(pictures["scores_made"].figure)


def test_each_method_of_a_split_has_one_line_with_the_score_it_is_compared_by() -> None:
    runs = [trained_run("difair"), trained_run("cross_entropy")]
    later = replace(runs[0], row=replace(runs[0].row, seed=1, signature="later"))
    other = replace(runs[1], row=replace(runs[1].row, split=3))
    pictures = list(comparison_pictures([later, other, *runs, made_run(["cat", "dog"], unknown_classes=0)]))
    assert [picture.name for picture in pictures] == ["roc_digits_0", "oscr_digits_0", "roc_digits_3", "oscr_digits_3"]
    difair, entropy = (run.row.auroc["mos"] for run in runs)
    expected = [f"Cross-entropy (mos): {entropy:.3f}", f"DIFAIR (mos): {difair:.3f}"]
    assert sorted(legend(pictures[0].figure)) == sorted(expected)
    assert "Runs run-cross_entropy and run-difair." in pictures[0].caption


def test_no_runs_give_no_comparison() -> None:
    assert list(comparison_pictures([])) == []
