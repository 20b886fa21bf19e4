"""Pictures of a study: the heat maps of a search (the paper's Figure 4), and the room's door to the other pictures.

Every function returns a matplotlib Figure that no global state knows; nothing opens a window.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from difair_hpc.errors import InvalidValue
from difair_hpc.osr.spec import anchor_distance
from difair_hpc.report.canvas import new_figure, save, without_values
from difair_hpc.report.curves import spread_curve, training_curves
from difair_hpc.report.rows import ResultRow, choice_word, is_chosen, overlapping

__all__ = ["Metric", "VerticalAxis", "heat_map", "save", "spread_curve", "training_curves", "vertical_axis"]

Metric = Literal["closed_set_accuracy", "occupancy"]
VerticalAxis = Literal["radius", "radius_coefficient"]
_Extend = Literal["neither", "both", "min", "max"]

METRIC_NAMES: Mapping[str, str] = {
    "closed_set_accuracy": "Closed-set accuracy (%)",
    "occupancy": "Hypersphere occupancy (%)",
}
AXIS_NAMES: Mapping[str, str] = {"radius": "radius r", "radius_coefficient": "radius coefficient"}

_COLOUR_MAP = "viridis"
_SPAN = 1.0
"""Percentage points that the colours span at least, so that noise does not look like a difference."""
_LEGEND = ("chosen", "hyperspheres overlap", "not run", "no value", "diverged")
_NOT_RUN, _NO_VALUE, _DIVERGED, _CHOSEN, _HATCH = "0.90", "0.80", "0.65", "#D55E00", "0.45"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """One cell of a heat map, with or without runs."""

    alpha: float
    radius: float
    radius_coefficient: float
    features_per_class: int
    values: tuple[float, ...]
    """Percent, one per completed run that has the metric."""
    completed: int
    """Runs with measurements."""
    diverged: int
    """Runs without."""

    @property
    def mean(self) -> float | None:
        return fmean(self.values) if self.values else None

    @property
    def text(self) -> str:
        if self.mean is None:
            return "no value" if self.completed else "diverged" if self.diverged else "not run"
        several = f"\nn={len(self.values)}" if len(self.values) > 1 else ""
        lost = f"\n{self.diverged} diverged" if self.diverged else ""
        return f"{self.mean:.1f}{several}{lost}"


_Panel = list[list[_Place]]
"""A full grid of places, lines of the vertical axis from below, each by alpha."""


def vertical_axis(rows: Sequence[ResultRow]) -> VerticalAxis:
    """Return the axis on which the runs form the smaller grid: the one that was searched."""
    radii, coefficients = (_distinct(getattr(row, key) for row in rows) for key in ("radius", "radius_coefficient"))
    return "radius" if len(radii) < len(coefficients) else "radius_coefficient"


def heat_map(
    rows: Sequence[ResultRow],
    *,
    metric: Metric = "closed_set_accuracy",
    y: VerticalAxis = "radius_coefficient",
    chosen: Sequence[Mapping[str, float]] = (),
) -> Figure:
    """Draw a search as the paper's Figure 4 does: alpha to the right, radius or its coefficient upwards.

    Colours span the places without overlap, so that collapsed runs do not hide the differences between the others.

    Args:
        rows: The runs of a search; those without hyperspheres are not drawn. Runs of one place are averaged.
        metric: What the colours and the printed numbers (percent) are.
        y: What the vertical axis is.
        chosen: The choices, values by name; their places are framed.

    Returns:
        A figure with one map per number of features per class.

    Raises:
        InvalidValue: No such metric or axis.
    """
    for key, value, valid in (("metric", metric, METRIC_NAMES), ("y", y, AXIS_NAMES)):
        if value not in valid:
            raise InvalidValue(key, value, " or ".join(valid))
    searched = [row for row in {row.signature: row for row in rows}.values() if row.radius is not None]
    panels = [_panel(searched, features, metric, y) for features in _features(searched)]
    figure = new_figure(*_size(panels))
    if not panels:
        return without_values(figure, METRIC_NAMES[metric])
    scale, extend = _scale([place for panel in panels for line in panel for place in line])
    axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
    keys: dict[str, Artist] = {}
    for ax, panel in zip(axes, panels, strict=True):
        keys |= _draw(ax, panel, y, scale, chosen)
    figure.colorbar(ScalarMappable(scale, _COLOUR_MAP), ax=axes, extend=extend)
    figure.suptitle(METRIC_NAMES[metric], fontsize=11)
    if keys:
        shown = [name for name in _LEGEND if name in keys]
        words = [choice_word(searched, chosen) if name == "chosen" else name for name in shown]
        figure.legend(
            [keys[name] for name in shown], words, loc="outside lower center", ncols=2, fontsize=8, frameon=False
        )
    return figure


def _panel(rows: Sequence[ResultRow], features: int, metric: Metric, y: VerticalAxis) -> _Panel:
    rows = [row for row in rows if row.features_per_class == features]
    alphas, heights = _distinct(row.alpha for row in rows), _distinct(getattr(row, y) for row in rows)
    return [
        [_place(rows, alpha, height, features=features, metric=metric, y=y) for alpha in alphas] for height in heights
    ]


def _place(
    rows: Sequence[ResultRow], alpha: float, height: float, *, features: int, metric: Metric, y: VerticalAxis
) -> _Place:
    place = (_same(alpha), _same(height))
    here = [row for row in rows if (_same(row.alpha or 0), _same(getattr(row, y))) == place]
    completed = [row for row in here if not row.diverged]
    distance = anchor_distance(features_per_class=features, alpha=alpha)
    return _Place(
        alpha=alpha,
        radius=height if y == "radius" else height * distance,
        radius_coefficient=height / distance if y == "radius" else height,
        features_per_class=features,
        values=tuple(100 * value for row in completed if (value := getattr(row, metric)) is not None),
        completed=len(completed),
        diverged=len(here) - len(completed),
    )


def _scale(places: Sequence[_Place]) -> tuple[Normalize, _Extend]:
    every = [(place.mean, overlapping(place.radius_coefficient)) for place in places if place.mean is not None]
    means = [mean for mean, _ in every] or [0.0]
    apart = [mean for mean, overlaps in every if not overlaps] or means
    margin = max(0.0, (_SPAN - (max(apart) - min(apart))) / 2)
    low, high = min(apart) - margin, max(apart) + margin
    below, above = min(means) < low, max(means) > high
    extend: _Extend = "both" if below and above else "min" if below else "max" if above else "neither"
    return Normalize(low, high), extend


def _draw(
    ax: Axes, panel: _Panel, y: VerticalAxis, scale: Normalize, chosen: Sequence[Mapping[str, float]]
) -> dict[str, Artist]:
    keys: dict[str, Artist] = {}
    for line, places in enumerate(panel):
        for column, place in enumerate(places):
            keys |= _draw_place(ax, (column, line), place, scale, is_chosen(_values(place), chosen))
    ax.set_xticks(range(len(panel[0])), [f"{place.alpha:.4g}" for place in panel[0]])
    ax.set_yticks(range(len(panel)), [f"{getattr(places[0], y):.4g}" for places in panel])
    ax.set(xlim=(-0.5, len(panel[0]) - 0.5), ylim=(-0.5, len(panel) - 0.5), xlabel="alpha", ylabel=AXIS_NAMES[y])
    ax.set_title(f"{panel[0][0].features_per_class} features per class", fontsize=9)
    ax.tick_params(length=0)
    return keys


def _draw_place(ax: Axes, at: tuple[int, int], place: _Place, scale: Normalize, is_choice: bool) -> dict[str, Artist]:
    corner = (at[0] - 0.5, at[1] - 0.5)
    face, ink, keys = _colours(place, scale)
    ax.add_patch(Rectangle(corner, 1, 1, facecolor=face, edgecolor="white", linewidth=1))
    if overlapping(place.radius_coefficient):
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor=_HATCH, linewidth=0))
        keys["hyperspheres overlap"] = Patch(fill=False, hatch="///", edgecolor=_HATCH, linewidth=0)
    if is_choice:
        inside = (corner[0] + 0.04, corner[1] + 0.04)
        ax.add_patch(Rectangle(inside, 0.92, 0.92, fill=False, edgecolor=_CHOSEN, linewidth=3, zorder=3))
        keys["chosen"] = Patch(fill=False, edgecolor=_CHOSEN, linewidth=3)
    box = {"boxstyle": "round,pad=0.15", "facecolor": face, "edgecolor": "none"}
    ax.text(
        *at, place.text, ha="center", va="center", color=ink, fontsize=9 if place.values else 7.5, bbox=box, zorder=4
    )
    return keys


def _colours(place: _Place, scale: Normalize) -> tuple[str, str, dict[str, Artist]]:
    """Return the colour of a place, that of its text, and what the legend has to say about it."""
    if place.mean is None:
        face = {"not run": _NOT_RUN, "no value": _NO_VALUE, "diverged": _DIVERGED}[place.text]
        return face, "black", {place.text: Patch(facecolor=face, edgecolor="0.5", linewidth=0.5)}
    red, green, blue, _ = mpl.colormaps[_COLOUR_MAP](float(np.clip(scale(place.mean), 0, 1)))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return to_hex((red, green, blue)), "black" if luminance > 0.45 else "white", {}


def _values(place: _Place) -> dict[str, float | None]:
    keys = ("alpha", "radius", "radius_coefficient", "features_per_class")
    return {key: getattr(place, key) for key in keys}


def _size(panels: Sequence[_Panel]) -> tuple[float, float]:
    """Return width and height in inches that leave room for the numbers in every place and for the legend."""
    columns = sum(len(panel[0]) + 1.3 for panel in panels)
    lines = max((len(panel) for panel in panels), default=1)
    return max(4.8, 0.8 * columns + 1.2), max(3.2, 0.62 * lines + 2.0)


def _features(rows: Sequence[ResultRow]) -> list[int]:
    return sorted({row.features_per_class for row in rows if row.features_per_class is not None})


def _distinct(values: Iterable[float | None]) -> list[float]:
    """Return the values in ascending order, one for each place."""
    return sorted({_same(value): value for value in sorted(value for value in values if value is not None)}.values())


def _same(value: float) -> float:
    """Return the value at 5 digits: radii that were computed in two ways are one place."""
    return float(f"{value:.5g}")
