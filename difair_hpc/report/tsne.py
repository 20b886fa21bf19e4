"""t-SNE of the representations of held-out images, with the classes' points and means (the paper's Figure 6).

Shapes: B images, K known classes, P points and means, D features or logits.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from difair_hpc.report.canvas import COLOURS, MARKERS, new_figure, without_values
from difair_hpc.report.images import RunImages
from difair_hpc.report.views import class_means, evenly, representations, run_title, shown_name
from difair_hpc.words import counted

LIMIT = 2000
"""Images at most, known and unknown together."""

_LEAST = 10
_STYLED = 2 * len(MARKERS)
"""Classes that get a look of their own: each marker full and hollow."""


def representation_map(run: RunImages, limit: int = LIMIT) -> Figure:
    """Draw one t-SNE map twice: the known classes on the left, the unknown among them (pale) on the right.

    Settings as in the authors' code: perplexity 50 (a third of the points where there are few), start from the
    principal components, anchors and class means placed with the images. At most `limit` images, evenly drawn.
    """
    title = run_title(run, "t-SNE of the representations")
    figure = new_figure(7, 5.6)
    (known_BD, known_B), (unknown_BD, unknown_B) = _drawn(run, limit)
    points = _points(run)
    every_BD = np.concatenate([known_BD, unknown_BD, *points.values()])
    if len(every_BD) < _LEAST or not np.ptp(every_BD, axis=0).any():
        missing = "all representations are equal" if len(every_BD) >= _LEAST else f"fewer than {_LEAST} points"
        return without_values(figure, title, f"no map: {missing}")
    known_B2, unknown_B2, *points_K2 = np.split(_embedded(every_BD), np.cumsum([len(known_B), len(unknown_B)]).tolist())
    marks = dict(zip(points, np.split(points_K2[0], len(points)), strict=True))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    numbered = {k: f"{_letter(k)}: {shown_name(name)}" for k, name in enumerate(run.class_names)}
    named = {label: shown_name(run.unknown_names[label]) for label in sorted(set(unknown_B.tolist()))}
    _classes(left, known_B2, known_B, numbered)
    right.plot(*known_B2.T, ls="", marker="o", ms=2.5, color="0.7", mew=0, label="known images")
    _classes(right, unknown_B2, unknown_B, named)
    both = f"known and unknown: {counted(len(known_B) + len(unknown_B), 'image')}"
    both = both if len(unknown_B) else "no unknown classes"
    for ax, words in ((left, f"known: {counted(len(known_B), 'image')}"), (right, both)):
        _marks(ax, marks)
        ax.set_title(words, fontsize=9)
        ax.set(xticks=[], yticks=[])
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _drawn(run: RunImages, limit: int) -> Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return representations and labels of known and of unknown images, both thinned out alike."""
    parts = (run.outputs.known, run.outputs.unknown)
    share = min(1.0, limit / sum(map(len, parts)))
    drawn = []
    for part in parts:
        chosen = evenly(len(part), int(len(part) * share))
        drawn.append((representations(run, part)[chosen], part.labels_B.numpy()[chosen]))
    return drawn


def _points(run: RunImages) -> Mapping[str, NDArray[np.float64]]:
    """Return what is marked, K points each: anchors or centres, and class means unless they are the same."""
    means_KD = class_means(run)
    means_KD = np.where(np.isnan(means_KD), 0.0 if run.points_KD is None else run.points_KD, means_KD)
    if run.points_KD is None or np.allclose(run.points_KD, means_KD, rtol=1e-3, atol=1e-3):
        return {"class mean": means_KD}
    return {"class mean": means_KD, "anchor" if run.row.features_per_class else "class point": run.points_KD}


def _embedded(points_PD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map, (P, 2), the same each time."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(50.0, (len(points_PD) - 1) / 3)
    with threadpool_limits(1):  # sums in another order end in another map
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points_PD))


def _classes(ax: Axes, at_B2: NDArray[np.float64], labels_B: NDArray[np.int64], names: Mapping[int, str]) -> None:
    """Draw each class with its own colour and marker; more classes than there are looks are drawn as one."""
    if len(names) > _STYLED:
        ax.plot(*at_B2.T, ls="", marker="x", ms=3, mew=0.6, color=COLOURS[3], label=f"{len(names)} unknown classes")
        return
    for number, (label, name) in enumerate(names.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        face, width = ("none", 0.6) if number >= len(MARKERS) else (colour, 0.0)
        at = at_B2[labels_B == label].T
        ax.plot(*at, ls="", marker=marker, ms=3.5, mfc=face, mec=colour, mew=width, label=name)


def _marks(ax: Axes, marks: Mapping[str, NDArray[np.float64]]) -> None:
    """Mark the anchors by letters of their classes, and the means by squares; means alone by the letters."""
    for name, at_K2 in marks.items():
        numbered = name == list(marks)[-1]
        marker, size = ("o", 8.4) if numbered else ("s", 4.7)
        ax.plot(*at_K2.T, ls="", marker=marker, ms=size, mfc="white", mec="black", mew=0.8, label=name)
        for k, (x, y) in enumerate(at_K2 if numbered else ()):
            ax.text(x, y, _letter(k), fontsize=7, ha="center", va="center_baseline", zorder=4)


def _letter(place: int) -> str:
    """Return a letter for a class by its place among the known: a number would look like the class's own."""
    return f"{chr(ord('a') + place % 26)}{place // 26 or ''}"
