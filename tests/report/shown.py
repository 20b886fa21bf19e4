"""What a reader sees on a figure: its texts, where they are, and whether they are in each other's way."""

import math
from itertools import combinations
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def legend(holder: Figure | Axes) -> list[str]:
    """Return the entries of a figure's or of one axes' legend."""
    boxes = holder.legends if isinstance(holder, Figure) else [holder.get_legend()]
    return [text.get_text() for box in boxes if box is not None for text in box.get_texts()]


def words(figure: Figure) -> list[str]:
    """Return every text that is on the figure."""
    return [text.get_text() for text in _texts(figure)]


def collisions(figure: Figure, *, but: tuple[str, ...] = ()) -> list[str]:
    """Name texts that cover each other by more than a hair, or leave the figure; those in `but` may."""
    figure.draw_without_rendering()
    shown = [text for text in _texts(figure) if text.get_text() not in but]
    crossing = [f"{a.get_text()} / {b.get_text()}" for a, b in combinations(shown, 2) if _overlap(a, b)]
    page = figure.bbox.padded(1)
    boxes = {text.get_text(): text.get_window_extent() for text in shown}
    return crossing + [f"{name} leaves the page" for name, box in boxes.items() if not _within(box, page)]


def _overlap(one: Text, other: Text) -> bool:
    a, b = one.get_window_extent(), other.get_window_extent()
    shared = Bbox.intersection(a.padded(-0.5), b.padded(-0.5))
    if shared is None or shared.width <= 1 or shared.height <= 1:
        return False
    angle = math.radians(one.get_rotation())
    if angle and one.get_rotation() == other.get_rotation():  # parallel lines: how far apart are they?
        line = float(one.get_fontsize()) * one.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
        return bool(abs((b.x1 - a.x1) * math.sin(angle) - (b.y1 - a.y1) * math.cos(angle)) < line)
    return True


def _within(box: Bbox, page: Bbox) -> bool:
    return page.containsx(box.x0) and page.containsx(box.x1) and page.containsy(box.y0) and page.containsy(box.y1)


def _texts(figure: Figure) -> list[Text]:
    found: list[Text] = []
    parts: list[Any] = [figure, *figure.subfigs]
    for part in parts:
        found += [*part.texts, *(text for box in part.legends for text in box.get_texts())]
        found += [part._suptitle] if part._suptitle else []
    for ax in figure.axes:
        inside = ax.get_window_extent().padded(2)
        box = ax.get_legend()
        found += [*ax.texts, ax.title, *(box.get_texts() if box else ())]
        if ax.axison:
            found += [ax.xaxis.label, ax.yaxis.label]
            found += [t for t in ax.get_xticklabels() if inside.containsx(_tick(ax, t)[0])]
            found += [t for t in ax.get_yticklabels() if inside.containsy(_tick(ax, t)[1])]
    return [text for text in dict.fromkeys(found) if text.get_text().strip()]


def _tick(ax: Axes, text: Text) -> tuple[float, float]:
    x, y = ax.transData.transform(text.get_position())
    return float(x), float(y)
