"""The images that a method gets most wrong, as images: unknown ones scored most known, known ones most unknown."""

from math import ceil

from matplotlib.figure import Figure

from difair_hpc.report.canvas import new_figure, without_values
from difair_hpc.report.images import RunImages
from difair_hpc.report.views import by_score, draw_image, own_score, run_title, shown_name

_IN_LINE = 6


def nearest_misses(run: RunImages, count: int = 12) -> Figure:
    """Draw the unknown images that the own score takes most for known, and the known it takes most for unknown.

    Args:
        run: The run; without `pictures` the figure says so.
        count: Images per block.
    """
    title = run_title(run, f"Nearest misses by the score {own_score(run)}")
    if run.pictures is None:
        return without_values(new_figure(7, 3), title, "the image data are not at hand")
    if not len(run.outputs.unknown):
        return without_values(new_figure(7, 3), title, "all classes of this split are known")
    blocks = {"unknown": by_score(run, "unknown")[:count], "known": by_score(run, "known")[::-1][:count]}
    heights = [0.3 + 1.55 * ceil(len(shown) / _IN_LINE) for shown in blocks.values()]
    figure = new_figure(7, 0.6 + sum(heights))
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    for number, (side, shown) in enumerate(blocks.items()):
        part = figure.add_subfigure(grid[number])
        opposite = "known" if side == "unknown" else "unknown"
        part.suptitle(f"{side} images scored most {opposite}: true class → taken for, score", fontsize=8)
        for ax in part.subplots(ceil(len(shown) / _IN_LINE), _IN_LINE, squeeze=False).flatten():
            ax.axis("off")
        for ax, judged in zip(part.axes, shown, strict=False):
            draw_image(ax, run, judged)
            ax.set_title(f"{shown_name(judged.true)}\n→ {shown_name(judged.taken)}\n{judged.score:.3g}", fontsize=7)
    return figure
