"""Curves over epochs: the metrics of runs, and the spread of class weights (the paper's Figure 3b)."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from difair_hpc.report.canvas import COLOURS, DASHES, new_figure, without_values

History = Sequence[Mapping[str, object]]

SPREAD = "weight_spread."
"""What the metrics of Figure 3b begin with; the class name follows."""

_NO_METRICS = ("epoch", "attempt", "time", "timestamp", "seconds")
_IN_LEGEND = 12


def training_curves(histories: Mapping[str, History], metrics: Sequence[str] | None = None) -> Figure:
    """Draw metrics over epochs, one panel per metric and one line per run.

    Args:
        histories: By label, one mapping per epoch with "epoch" and the metrics of that epoch, by name.
        metrics: The names to draw; None: every number found, weight spreads left out.
    """
    names = list(metrics) if metrics is not None else _metric_names(histories)
    columns = min(2, max(1, len(names)))
    lines = max(1, math.ceil(len(names) / columns))
    in_legend = math.ceil(min(len(histories), _IN_LEGEND + 1) / columns)
    figure = new_figure(4.6 * columns, 2.9 * lines + 0.2 * in_legend)
    if not names:
        return without_values(figure, "Training")
    axes = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
    for ax in axes[len(names) :]:
        ax.remove()
    for ax, name in zip(axes, names, strict=False):
        for number, (label, history) in enumerate(histories.items()):
            _plot(ax, history, name, label, number)
        ax.set(xlabel="epoch", ylabel=name)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
    _legend(figure, axes[0], columns)
    return figure


def spread_curve(history: History, *, restarts: Sequence[int] = ()) -> Figure:
    """Draw how much the weights of each class differ between its features in the last convolution (Figure 3b).

    Args:
        history: One mapping per epoch with "epoch" and "weight_spread.<class name>": the standard deviation over the
            filters of a class, mean over positions (section 5.1).
        restarts: Epochs at which the learning rate starts again, marked by vertical lines.
    """
    names = list(dict.fromkeys(name for entry in history for name in entry if name.startswith(SPREAD)))
    title = "Spread of the class weights"
    columns = 2 if len(names) > 20 else 1
    figure = new_figure(7.2, max(3.8, 0.21 * len(names) / columns + 1.2))
    if not names:
        return without_values(figure, title)
    ax = figure.subplots()
    for number, name in enumerate(names):
        _plot(ax, history, name, name.removeprefix(SPREAD), number)
    for number, epoch in enumerate(restarts):
        label = "_" if number else "learning rate\nrestarts"
        ax.axvline(epoch, color="0.35", linestyle=(0, (1, 2)), linewidth=1.2, label=label)
    ax.set(xlabel="epoch", ylabel="standard deviation", title=title)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, ncols=columns)
    return figure


def _metric_names(histories: Mapping[str, History]) -> list[str]:
    found = {name for history in histories.values() for entry in history for name in entry}
    wanted = [name for name in found if name not in _NO_METRICS and not name.startswith(SPREAD)]
    return sorted(name for name in wanted if any(_series(history, name)[0] for history in histories.values()))


def _series(history: History, name: str) -> tuple[list[float], list[float]]:
    pairs = [(_number(entry.get("epoch")), _number(entry.get(name))) for entry in history]
    known = [(epoch, value) for epoch, value in pairs if epoch is not None and value is not None]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _style(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def _plot(ax: Axes, history: History, name: str, label: str, number: int) -> None:
    """Draw one line; a single epoch has no line, so few epochs get dots."""
    epochs, values = _series(history, name)
    colour, dashes = _style(number)
    ax.plot(epochs, values, label=label, color=colour, linestyle=dashes, marker="." if len(epochs) < 20 else "")


def _legend(figure: Figure, ax: Axes, columns: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    more = len(labels) - _IN_LEGEND
    if more > 0:
        handles = [*handles[:_IN_LEGEND], Patch(alpha=0)]
        labels = [*labels[:_IN_LEGEND], f"and {more} more"]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
