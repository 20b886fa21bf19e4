"""The t-SNE map: who is on it, how classes are told apart, where it stays empty, and that it is the same each time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from difair_hpc.report.canvas import save
from difair_hpc.report.images import RunImages
from difair_hpc.report.tsne import representation_map
from tests.report.runs import made_run, trained_run
from tests.report.shown import collisions, legend, words


def dots(figure: Figure, panel: int) -> dict[str, int]:
    """Return how many points each entry of a panel's legend has."""
    return {str(line.get_label()): len(np.asarray(line.get_xydata())) for line in figure.axes[panel].lines}


def test_every_image_anchor_and_mean_is_drawn_under_its_name() -> None:
    run = made_run(["cat", "dog"], per_class=2, unknown_classes=3, images=6, noise=0.5)
    figure = representation_map(run)
    assert dots(figure, 0) == {"a: cat": 6, "b: dog": 6, "class mean": 2, "anchor": 2}
    unknown = {"unknown_0": 6, "unknown_1": 6, "unknown_2": 6}
    assert dots(figure, 1) == {"known images": 12, **unknown, "class mean": 2, "anchor": 2}
    assert [ax.get_title() for ax in figure.axes] == ["known: 12 images", "known and unknown: 30 images"]
    assert legend(figure.axes[0]) == ["a: cat", "b: dog", "class mean", "anchor"]


def test_both_panels_show_the_same_map() -> None:
    figure = representation_map(made_run(["cat", "dog"], per_class=2, noise=0.5))
    left, right = (ax.lines for ax in figure.axes)
    known = np.concatenate([np.asarray(one.get_xydata()) for one in left[:2]])
    np.testing.assert_array_equal(known, np.asarray(right[0].get_xydata()))


def test_classes_lie_around_their_own_anchors() -> None:
    run = made_run(["cat", "dog", "eel"], per_class=2, images=20, unknown_classes=0, noise=0.3)
    far = {k: run.outputs.known.features_BD[run.outputs.known.labels_B == k] for k in range(3)}
    assert all(len(rows) == 20 for rows in far.values())
    groups = representation_map(run).axes[0].lines
    centres = [np.asarray(group.get_xydata()).mean(axis=0) for group in groups[:3]]
    anchors = np.asarray(groups[4].get_xydata())
    for k, centre in enumerate(centres):
        assert np.linalg.norm(anchors - centre, axis=1).argmin() == k


@pytest.mark.parametrize("method", ["cross_entropy", "cac"])
def test_points_that_are_the_means_are_drawn_once(method: str) -> None:
    names = list(dots(representation_map(trained_run(method)), 0))
    assert names[-1] == "class mean"
    assert "class point" not in names


def test_twenty_classes_differ_in_more_than_their_colour() -> None:
    run = made_run([f"class {k}" for k in range(20)], unknown_classes=20, images=2, noise=0.5)
    for panel in representation_map(run).axes:
        looks = set()
        for line in panel.lines:
            if str(line.get_label()).startswith(("unknown_", *(f"{letter}: " for letter in "abcdefghijklmnopqrst"))):
                looks.add((line.get_marker(), str(line.get_markerfacecolor()) == "none"))
        assert len(looks) == 20


def test_more_unknown_classes_than_looks_are_drawn_as_one() -> None:
    figure = representation_map(made_run(["cat", "dog"], unknown_classes=180, images=2, noise=0.5))
    assert dots(figure, 1)["180 unknown classes"] == 360


def test_no_number_on_the_map_looks_like_the_number_of_a_class() -> None:
    figure = representation_map(made_run(["2", "7"], per_class=2, images=6, noise=0.5))
    assert legend(figure.axes[0])[:2] == ["a: 2", "b: 7"]
    assert {text.get_text() for ax in figure.axes for text in ax.texts} == {"a", "b"}


def test_many_images_are_thinned_out_evenly() -> None:
    run = made_run(["cat", "dog"], unknown_classes=6, images=50, noise=0.5)
    figure = representation_map(run, limit=200)
    assert dots(figure, 0) == {"a: cat": 25, "b: dog": 25, "class mean": 2, "anchor": 2}
    assert {f"unknown_{c}": 25 for c in range(6)}.items() <= dots(figure, 1).items()


def collapsed() -> RunImages:
    run = made_run(["cat", "dog"], images=5)
    parts: dict[str, Any] = {
        name: replace(part, features_BD=part.features_BD * 0)
        for name, part in (("train", run.outputs.train), ("known", run.outputs.known), ("unknown", run.outputs.unknown))
    }
    return replace(run, outputs=replace(run.outputs, **parts))


def test_a_collapsed_network_still_has_its_anchors_on_the_map() -> None:
    assert dots(representation_map(collapsed()), 0)["anchor"] == 2


def test_nothing_to_map_is_said() -> None:
    run = collapsed()
    assert run.points_KD is not None
    equal = representation_map(replace(run, points_KD=run.points_KD * 0))
    assert "no map: all representations are equal" in words(equal)
    few = representation_map(made_run(["cat", "dog"], images=1, unknown_classes=1))
    assert "no map: fewer than 10 points" in words(few)


def test_without_unknown_classes_the_right_panel_says_so() -> None:
    figure = representation_map(made_run(["cat", "dog"], unknown_classes=0, noise=0.5))
    assert figure.axes[1].get_title() == "no unknown classes"


@pytest.mark.slow
def test_the_files_are_the_same_each_time(tmp_path: Path) -> None:
    run = trained_run()
    first = [path.read_bytes() for path in save(representation_map(run), tmp_path / "one")]
    assert [path.read_bytes() for path in save(representation_map(run), tmp_path / "two")] == first


def test_legends_keep_clear_of_each_other() -> None:
    names = [f"a_rather_long_name_{k}" for k in range(19)] + ["$x_1$ and $y$"]
    figure = representation_map(made_run(names, per_class=2, unknown_classes=20, images=2, noise=0.5))
    assert collisions(figure, but=tuple(str(k) for k in range(20))) == []
