"""How well scores part known from unknown images: histograms, ROC curves, OSCR curves.

Scores are larger for images that are more likely unknown. Shapes: B images, T thresholds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc

from difair_hpc.osr.metrics import auroc
from difair_hpc.report.canvas import COLOURS, DASHES, literal, new_figure, without_values
from difair_hpc.report.images import RunImages
from difair_hpc.report.views import run_title

Floats = NDArray[np.float64]

_PANELS, _BINS = 9, 40
_WIDE = 1000.0
"""Ratio of the largest to the smallest score from which on their axis is logarithmic."""
_ALL_KNOWN = "all classes of this split are known"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detection:
    """One score of one run: a line of a ROC or OSCR figure."""

    label: str
    """What the legend calls it."""
    known_B: Floats
    """Scores of the known images."""
    unknown_B: Floats
    """Scores of the unknown images."""
    correct_B: NDArray[np.bool_]
    """Whether each known image is given its class."""


_Points = Callable[[Detection], tuple[Floats, Floats]]


def detection(run: RunImages, score: str, label: str) -> Detection:
    """Return what one score of a run says."""
    return Detection(
        label=label,
        known_B=run.known.scores[score],
        unknown_B=run.unknown.scores[score],
        correct_B=run.known.predictions_B == run.outputs.known.labels_B.numpy(),
    )


def score_histograms(run: RunImages) -> Figure:
    """Draw the scores of known and unknown images over the same bins, one panel per score, the own ones first.

    Bins end at the 0.5 and 99.5 % quantiles of all images; what lies beyond counts in the outermost bin. At most nine
    scores are drawn.
    """
    title = run_title(run, "Scores of known and unknown images")
    if not len(run.outputs.unknown):
        return without_values(new_figure(7, 3), title, _ALL_KNOWN)
    names = list(run.known.scores)[:_PANELS]
    columns = min(3, len(names))
    lines = ceil(len(names) / columns)
    figure = new_figure(7, 1.1 + 1.9 * lines)
    axes = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
    for ax in axes[len(names) :]:
        ax.remove()
    for ax, name in zip(axes, names, strict=False):
        _histogram(ax, name, run.known.scores[name], run.unknown.scores[name])
    figure.supylabel("share of the images", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    words = "scores: larger means more likely unknown"
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False, title=words, title_fontsize=8
    )
    figure.suptitle(title, fontsize=10)
    return figure


def roc_points(one: Detection) -> tuple[Floats, Floats]:
    """Return the ROC curve, unknown positive: shares of known and of unknown images above each threshold, each (T,).

    Equal scores are passed in one step, so the area under the straight lines counts ties one half, as auroc does.
    """
    thresholds_T = _thresholds(one)[::-1]
    return 1 - _accepted(one.known_B, thresholds_T), 1 - _accepted(one.unknown_B, thresholds_T)


def oscr_points(one: Detection) -> tuple[Floats, Floats]:
    """Return the OSCR curve (Dhamija et al. 2018), known positive, each (T,).

    Over the share of unknown images up to each threshold: the share of known images up to it that have their class.
    """
    thresholds_T = _thresholds(one)
    wrong_T = _accepted(np.where(one.correct_B, np.inf, one.known_B), thresholds_T)
    return _accepted(one.unknown_B, thresholds_T), _accepted(one.known_B, thresholds_T) - wrong_T


def roc_figure(detections: Sequence[Detection], title: str = "ROC") -> Figure:
    """Draw ROC curves, unknown positive; the legend gives each area (AUROC)."""
    x, y = "known images rejected (false positive rate)", "unknown images rejected (true positive rate)"
    return _curves(detections, roc_points, title, x, f"{y}\nunknown is positive")


def oscr_figure(detections: Sequence[Detection], title: str = "OSCR") -> Figure:
    """Draw OSCR curves, known positive; the legend gives each area."""
    x, y = "unknown images accepted (false positive rate)", "known images accepted with their class"
    return _curves(detections, oscr_points, title, x, f"{y}\n(correct classification rate), known is positive")


def _curves(detections: Sequence[Detection], points: _Points, title: str, x: str, y: str) -> Figure:
    figure = new_figure(5.2, 4.4 + 0.17 * len(detections))
    drawn = [one for one in detections if one.unknown_B.size and one.known_B.size]
    if not drawn:
        return without_values(figure, title, "no run with unknown images yet")
    ax = figure.subplots()
    for number, one in enumerate(drawn):
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[(number + number // len(COLOURS)) % len(DASHES)]
        across, up = points(one)
        label = f"{literal(one.label)}: {auc(across, up):.3f}"
        ax.plot(across, up, color=colour, linestyle=dashes, linewidth=1.4, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title, xlabel=x, ylabel=y)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, title="area under the curve", title_fontsize=8)
    return figure


def _thresholds(one: Detection) -> Floats:
    return np.concatenate([[-np.inf], np.unique(np.concatenate([one.known_B, one.unknown_B]))])


def _accepted(scores_B: Floats, thresholds_T: Floats) -> Floats:
    """Return the share of scores up to each threshold."""
    return np.searchsorted(np.sort(scores_B), thresholds_T, side="right") / len(scores_B)


def _histogram(ax: Axes, name: str, known_B: Floats, unknown_B: Floats) -> None:
    ax.tick_params(labelsize=7)
    both = np.concatenate([known_B, unknown_B])
    if bad := int((~np.isfinite(both)).sum()):
        ax.set_title(f"{literal(name)}: {bad} of {len(both)} scores are not finite", fontsize=8)
        return
    ax.set_title(f"{literal(name)} (AUROC {100 * auroc(known_B, unknown_B):.1f} %)", fontsize=8)
    low, high = np.quantile(both, [0.005, 0.995])
    edges = int(min(_BINS, len(both) ** 0.5)) + 2
    if low > 0 and high / low > _WIDE:
        bins = np.geomspace(low, high, edges)
        ax.set_xscale("log")
    else:
        bins = np.linspace(low, high, edges) if high > low else np.linspace(low - 0.5, low + 0.5, edges)
        ax.locator_params(axis="x", nbins=4)
        ax.xaxis.get_offset_text().set_fontsize(7)
    for scores_B, colour, unknown in ((known_B, COLOURS[0], False), (unknown_B, COLOURS[3], True)):
        shares, _ = np.histogram(np.clip(scores_B, bins[0], bins[-1]), bins)
        label, edge = ("unknown", colour) if unknown else ("known", "none")
        face = "none" if unknown else to_rgba(colour, 0.55)
        ax.stairs(shares / len(scores_B), bins, fill=True, facecolor=face, edgecolor=edge, linewidth=1.3, label=label)
