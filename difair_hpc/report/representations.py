"""Hinton diagrams: mean representations of the classes and single unknown images (the paper's Figures 3a and 5).

The area of a square is the size of its value, so the eye compares amounts. Shapes: R lines, K known classes, N features
per class, D features or logits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from difair_hpc.report.canvas import COLOURS, new_figure, without_values
from difair_hpc.report.images import RunImages
from difair_hpc.report.views import Judged, by_score, class_means, draw_image, evenly, representations, run_title
from difair_hpc.report.views import shown_name as short

Floats = NDArray[np.float64]

_WIDTH, _SCALE, _TEXT, _PICTURE, _CELL = 7.0, 3.7, 0.125, 0.42, 0.25
"""Inches: width of a figure and of its scale, height of a text line, side of a picture, side of a cell at most."""
_POINTS = 7
_IN_BLOCK = 50
"""Columns side by side: more would be too small to see."""
_SHOWN = 6
"""Unknown classes whose images are shown, fewer where that takes several blocks."""
_ABOVE, _BELOW = COLOURS[0], COLOURS[3]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Line:
    label: str
    values_D: Floats
    own: int | None
    """The class whose columns are shaded."""
    judged: Judged | None = None
    """The image whose picture stands beside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    first: int
    last: int
    """First column, and the one after the last."""
    group: int | None
    """Columns per class; None: columns do not belong to classes."""
    step: float
    """Cells from line to line."""


def mean_representations(run: RunImages) -> Figure:
    """Draw the mean representation of each known class (Figures 3a, 5a and 5b), from training images that are right.

    Returns:
        A figure with one line per class and one column per feature, those of a class side by side.
    """
    lines = [
        _Line(
            label=short(name) + (" (none right)" if np.isnan(mean_D).any() else ""),
            values_D=np.nan_to_num(mean_D),
            own=k,
        )
        for k, (name, mean_D) in enumerate(zip(run.class_names, class_means(run), strict=True))
    ]
    return _diagram(run, run_title(run, "Mean class representations"), lines)


def unknown_representations(run: RunImages) -> Figure:
    """Draw single unknown images as the network represents them (Figure 5c).

    Up to six unknown classes, evenly drawn in the order of their numbers, each with two images: the one that the
    method's own score takes most for known, and the one in the middle.
    """
    title = run_title(run, "Representations of single unknown images")
    labels = sorted(set(run.outputs.unknown.labels_B.tolist()))
    if not labels:
        return without_values(new_figure(_WIDTH, 3), title, "all classes of this split are known")
    values_BD = representations(run, run.outputs.unknown)
    shown = max(2, min(_SHOWN, 8 // _blocks(values_BD.shape[1], _per_class(run, values_BD.shape[1]))))
    lines = []
    for label in (labels[i] for i in evenly(len(labels), shown)):
        ranked = by_score(run, "unknown", label)
        chosen = {len(ranked) // 2: "median", 0: "most known"}
        for place in sorted(chosen):
            judged = ranked[place]
            names = f"{short(judged.true)} → {short(judged.taken)}\n{chosen[place]}, score {judged.score:.3g}"
            own = run.class_names.index(judged.taken)
            lines.append(_Line(label=names, values_D=values_BD[judged.position], own=own, judged=judged))
    return _diagram(run, title, lines)


def _per_class(run: RunImages, columns: int) -> int | None:
    """Return how many columns belong to each class; None where columns do not belong to classes."""
    each = 1 if run.space == "logits" else run.row.features_per_class
    return each if each is not None and each * len(run.class_names) == columns else None


def _diagram(run: RunImages, title: str, lines: Sequence[_Line]) -> Figure:
    """Lay out blocks of lines by hand, in inches: a square has to have the same size in each of them."""
    columns = len(lines[0].values_D)
    group, names = _per_class(run, columns), [short(name) for name in run.class_names]
    blocks = _blocks(columns, group)
    width = ceil(columns / (group or 1) / blocks) * (group or 1)
    picture = _PICTURE if run.pictures is not None and lines[0].judged else 0.0
    left = 0.2 + _widest(part for line in lines for part in line.label.split("\n")) + picture
    cell = min(_CELL, (_WIDTH - left - 0.1) / width)
    left = max(left, min((_WIDTH + left - 0.1 - width * cell) / 2, _WIDTH - _SCALE))
    step = max(1.0, picture * 1.1 / cell, (_TEXT + (_TEXT + 0.04) * lines[0].label.count("\n")) / cell)
    slanted = group is not None and _widest(names) > 0.9 * group * cell
    tall, feet = len(lines) * step * cell, 0.15 + (0.65 * _widest(names) if slanted else _TEXT)
    first_top = 0.55 + 1.8 * cell
    figure = new_figure(_WIDTH, first_top + blocks * (tall + feet))
    figure.set_layout_engine("none")
    figure.suptitle(title, fontsize=10, y=1 - 0.08 / figure.get_figheight(), va="top")
    values_RD = np.stack([line.values_D for line in lines])
    most = float(np.abs(values_RD).max()) or 1.0
    for number in range(blocks):
        top = first_top + number * (tall + feet)
        ax = _axes(figure, left, top, width * cell, tall)
        block = _Block(first=number * width, last=min((number + 1) * width, columns), group=group, step=step)
        _shade(ax, lines, block)
        x_RC, y_RC = np.meshgrid(np.arange(block.last - block.first) + 0.5, (np.arange(len(lines)) + 0.5) * step)
        _squares(ax, x_RC, y_RC, values_RD[:, block.first : block.last], most)
        _ticks(ax, lines, block, names, slanted=slanted)
        ax.tick_params(axis="y", pad=2 + 72 * picture * 1.1)
        ax.set(xlim=(0, width), ylim=(len(lines) * step, 0))
        for place, line in enumerate(lines if picture else ()):
            assert line.judged is not None
            middle = top + (place + 0.5) * step * cell
            spot = _axes(figure, left - picture * 1.1, middle - picture / 2, picture, picture)
            draw_image(spot, run, line.judged)
            spot.axis("off")
        if number == 0:
            _scale(ax, most, cell, hollow=bool((values_RD < 0).any()))
    return figure


def _blocks(columns: int, group: int | None) -> int:
    return ceil(columns / max(_IN_BLOCK, group or 1))


def _widest(texts: Iterable[str]) -> float:
    """Return the width of the widest of some texts in inches."""
    return max(float(TextPath((0, 0), text, size=_POINTS).get_extents().width) for text in texts) / 72


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the upper left corner."""
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / high, width / whole, height / high))


def _shade(ax: Axes, lines: Sequence[_Line], block: _Block) -> None:
    """Shade each line where the features of its class are; part lines and classes."""
    width, height = block.last - block.first, len(lines) * block.step
    for place, line in enumerate(lines):
        if block.group and line.own is not None and block.first <= line.own * block.group < block.last:
            corner = (line.own * block.group - block.first, place * block.step)
            ax.add_patch(Rectangle(corner, block.group, block.step, facecolor="0.88", edgecolor="none"))
    ax.hlines([place * block.step for place in range(len(lines) + 1)], 0, width, color="0.8", linewidth=0.4)
    ax.vlines(range(0, width + 1, block.group or width), 0, height, color="0.55", linewidth=0.7)


def _squares(ax: Axes, x: Floats, y: Floats, values: Floats, most: float) -> None:
    """Draw one square per value, full above 0 and hollow below, the largest nearly as wide as its cell."""
    half = 0.46 * np.sqrt(np.abs(values) / most)
    corners = [np.stack([x + half * dx, y + half * dy], axis=-1) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    for chosen, face, edge, width in ((values > 0, _ABOVE, "none", 0), (values < 0, "none", _BELOW, 0.7)):
        squares = np.stack([corner[chosen] for corner in corners], axis=1)
        looks: dict[str, Any] = {"facecolors": face, "edgecolors": edge, "linewidths": width}
        ax.add_collection(PolyCollection(list(squares), clip_on=False, **looks))


def _ticks(ax: Axes, lines: Sequence[_Line], block: _Block, names: Sequence[str], *, slanted: bool) -> None:
    """Write the lines' labels on the left; below, the class names, or where features have no class their numbers."""
    ax.set_yticks([(place + 0.5) * block.step for place in range(len(lines))], [line.label for line in lines])
    columns = range(block.first, block.last)
    if block.group:
        marks = {k + (block.group - 1) / 2: names[k // block.group] for k in columns if k % block.group == 0}
    else:
        marks = {k: str(k) for k in columns if k % 10 == 0}
    ax.set_xticks([k - block.first + 0.5 for k in marks], list(marks.values()))
    ax.tick_params(length=0, pad=2, labelsize=_POINTS)
    for text in ax.get_xticklabels() if slanted else ():
        text.set(rotation=40, ha="right", rotation_mode="anchor")
    ax.spines[:].set_visible(False)


def _scale(ax: Axes, most: float, cell: float, *, hollow: bool) -> None:
    """Say above the first block what the squares mean, with squares of the diagram's own scale."""
    shown = {most: f"{most:.3g} (the largest)", most / 4: f"{most / 4:.3g}"}
    shown |= {-most / 4: f"−{most / 4:.3g} (hollow: below 0)"} if hollow else {}
    steps = [0, *(1.7 + (_widest([text]) + 0.1) / cell for text in shown.values())]
    left = np.cumsum(steps)[:-1]
    _squares(ax, left + 0.5, np.full(len(left), -1.0), np.array(list(shown)), most)
    for x, text in zip(left, shown.values(), strict=True):
        ax.text(x + 1.2, -1, text, fontsize=_POINTS, va="center")
