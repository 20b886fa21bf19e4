"""Nearest misses: which images, in which order, with which words."""

from dataclasses import replace

import numpy as np

from difair_hpc.report.misses import nearest_misses
from tests.report.runs import made_run, trained_run
from tests.report.shown import collisions, words


def test_the_worst_of_both_sides_are_shown_the_worst_first() -> None:
    run = trained_run()
    assert run.pictures is not None
    figure = nearest_misses(run, count=3)
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == 6
    unknown_B, known_B = (side.scores["distance"] for side in (run.unknown, run.known))
    expected = [("unknown", int(i)) for i in np.argsort(unknown_B)[:3]]
    expected += [("known", int(i)) for i in np.argsort(known_B)[::-1][:3]]
    for ax, (side, position) in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), run.pictures[side][position][0])  # type: ignore[index]
    first = expected[0][1]
    true = run.unknown_names[int(run.outputs.unknown.labels_B[first])]
    taken = run.class_names[int(run.unknown.predictions_B[first])]
    assert shown[0].get_title() == f"{true}\n→ {taken}\n{unknown_B[first]:.3g}"


def test_known_images_say_what_they_are_and_what_they_were_taken_for() -> None:
    # Known images reach 10, 8, 6, 4 and 2 of two features: the last is 8 * sqrt(2) from its own anchor.
    figure = nearest_misses(made_run(["cat", "dog"], per_class=2, images=5, unknown_classes=1, pictures=True), count=2)
    assert [ax.get_title() for ax in figure.axes if ax.images][2:] == ["dog\n→ dog\n11.3", "cat\n→ cat\n11.3"]


def test_colour_images_are_shown_in_colour() -> None:
    run = made_run(["cat", "dog"], unknown_classes=1, pictures=True)
    assert run.pictures is not None
    colour = {side: np.repeat(pixels, 3, axis=1) for side, pixels in run.pictures.items()}
    figure = nearest_misses(replace(run, pictures=colour), count=1)
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (8, 8, 3)


def test_what_is_missing_is_said() -> None:
    assert "the image data are not at hand" in words(nearest_misses(made_run(["cat", "dog"])))
    all_known = made_run(["cat", "dog"], unknown_classes=0, pictures=True)
    assert "all classes of this split are known" in words(nearest_misses(all_known))


def test_long_names_keep_clear_of_each_other() -> None:
    names = [f"a_rather_long_name_{k}" for k in range(5)]
    assert collisions(nearest_misses(made_run(names, unknown_classes=5, pictures=True))) == []
    assert collisions(nearest_misses(trained_run())) == []
