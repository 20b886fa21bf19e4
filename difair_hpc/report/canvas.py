"""A figure without global state, and its files: what every picture of the report begins and ends with."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from difair_hpc.files import write_atomically
from difair_hpc.folders import usable_folder

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C6D00")
"""Apart from each other for colour-blind readers (Okabe and Ito, its yellow darkened)."""
DASHES = ("solid", "dashed", "dashdot", "dotted")
MARKERS = ("o", "^", "s", "v", "D", "P", "X", "<", "p", ">")

_DOTS_PER_INCH = 150
_FORMATS: dict[str, tuple[Any, str, dict[str, str | None]]] = {
    ".png": (FigureCanvasAgg, "print_png", {}),
    ".svg": (FigureCanvasSVG, "print_svg", {"Date": None}),
    ".pdf": (FigureCanvasPdf, "print_pdf", {"CreationDate": None}),
}
"""Suffix -> canvas, its method and metadata. `Figure.savefig` writes the same bytes, and draws all once more before."""


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure that pyplot does not know, drawn without a display."""
    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def without_values(figure: Figure, title: str, missing: str = "no run to draw yet") -> Figure:
    """Say on the figure that there is nothing to draw, and what is missing."""
    figure.suptitle(title, fontsize=11)
    figure.text(0.5, 0.45, missing, ha="center", va="center", color="0.35")
    return figure


def literal(name: str) -> str:
    """Return a name so that matplotlib prints it as it is: between two $ it would read a formula."""
    return name.replace("$", r"\$")


def save(figure: Figure, path: Path, suffixes: Sequence[str] = tuple(_FORMATS)) -> tuple[Path, ...]:
    """Write the figure as PNG (150 dots per inch), SVG and PDF beside each other, each whole or not at all.

    Args:
        figure: What to write.
        path: Where, with or without one of the three suffixes.
        suffixes: Those that are wanted.

    Returns:
        The files, PNG first. The same figure gives the same bytes.

    Raises:
        DiskFull: No space is left.
        RootUnusable: The folder cannot be made or written.
    """
    name = path.stem if path.suffix in _FORMATS else path.name
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # a second layout pass would move everything by a hair, in each file differently
    usable_folder(path.parent, key="figure folder")
    written = []
    for suffix in suffixes:
        stream = io.BytesIO()
        figure.dpi = _DOTS_PER_INCH  # SVG and PDF leave their own behind
        with mpl.rc_context({"svg.hashsalt": "difair"}):
            canvas, method, metadata = _FORMATS[suffix]
            getattr(canvas(figure), method)(stream, metadata=metadata)
        written.append(write_atomically(path.with_name(name + suffix), stream.getvalue()))
    return tuple(written)
