"""What a search found: which parameters mattered, and accuracy against occupancy (beyond the paper's Figure 4)."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difair_hpc.report.canvas import COLOURS, literal, new_figure, without_values
from difair_hpc.report.rows import ResultRow, choice_word, is_chosen, overlapping
from difair_hpc.words import counted

Setting = float | str | bool
Trial = tuple[Mapping[str, Setting], float]

_LEAST = 10
"""Trials from which on importances are computed."""
_QUESTIONS = {
    "share of the variance over all trials (fANOVA)": (COLOURS[0], ""),
    "what it takes to be in the best tenth (PED-ANOVA)": (COLOURS[1], "///"),
}
_KEYS = ("alpha", "radius_coefficient", "features_per_class")
_Place = tuple[float, float, float]
_Point = tuple[float, float]


def parameter_importances(trials: Sequence[Trial], *, value: str = "closed-set accuracy") -> Figure:
    """Draw how much each parameter of a search matters, as Optuna estimates it in two ways, each summing to 1.

    Args:
        trials: Settings by name and what came of them, larger is better. Trials without a finite value are left out, as
            are parameters that never change or that some trials lack.
        value: What the values are called.

    Returns:
        A figure with two bars per parameter; one that says why where there are fewer than 10 trials, no parameter that
        changes, or the same value everywhere.
    """
    trials = [(settings, result) for settings, result in trials if math.isfinite(result)]
    title = f"Parameter importances for {value}"
    names = [name for name in _shared(trials) if len({settings[name] for settings, _ in trials}) > 1]
    figure = new_figure(7, 1.6 + 0.5 * max(2, len(names)))
    if len(trials) < _LEAST:
        return without_values(
            figure, title, f"{counted(len(trials), 'trial')} with a value, at least {_LEAST} are needed"
        )
    if not names or len({result for _, result in trials}) == 1:
        return without_values(figure, title, "no parameter changed" if not names else "every trial has the same value")
    found = dict(zip(_QUESTIONS, _importances(trials, names), strict=True))
    order = sorted(names, key=lambda name: sum(shares[name] for shares in found.values()))
    ax = figure.subplots()
    for number, (question, shares) in enumerate(found.items()):
        colour, hatch = _QUESTIONS[question]
        heights = [place + 0.19 - 0.38 * number for place in range(len(order))]
        bars = ax.barh(heights, [shares[name] for name in order], 0.36, label=question, color=colour, hatch=hatch)
        ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    ax.set_yticks(range(len(order)), [literal(name) for name in order], fontsize=8)
    ax.set(xlim=(0, 1.08), title=f"{title}, {len(trials)} trials")
    ax.title.set_fontsize(10)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure


def _shared(trials: Sequence[Trial]) -> list[str]:
    return sorted(set.intersection(*(set(settings) for settings, _ in trials))) if trials else []


def _importances(trials: Sequence[Trial], names: Sequence[str]) -> list[dict[str, float]]:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    def distribution(name: str) -> BaseDistribution:
        values = {settings[name] for settings, _ in trials}
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            return FloatDistribution(float(min(values)), float(max(values)))
        return CategoricalDistribution(sorted(values, key=str))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    spaces = {name: distribution(name) for name in names}
    for settings, result in trials:
        params = {name: settings[name] for name in names}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=result))
    evaluators = (FanovaImportanceEvaluator(seed=0), PedAnovaImportanceEvaluator())
    return [get_param_importances(study, evaluator=evaluator, params=list(names)) for evaluator in evaluators]


def pareto_front(rows: Sequence[ResultRow], chosen: Sequence[Mapping[str, float]] = ()) -> Figure:
    """Draw closed-set accuracy over hypersphere occupancy; join and name the places that no other beats in both.

    Args:
        rows: The runs of a search; runs of one (alpha, coefficient, N) are averaged. Where hyperspheres overlap,
            occupancy says little (C), so these places are drawn, but are no part of the front.
        chosen: The choices, values by name; their places are ringed.
    """
    places = _places(rows)
    title = "Accuracy against occupancy"
    figure = new_figure(7, 5)
    if not places:
        return without_values(figure, title)
    ax = figure.subplots()
    apart = {place: at for place, at in places.items() if not overlapping(place[1])}
    overlaps = [at for place, at in places.items() if place not in apart]
    front = _front(apart)
    ringed = {place: at for place, at in places.items() if is_chosen(dict(zip(_KEYS, place, strict=True)), chosen)}
    _dots(ax, [at for place, at in apart.items() if place not in front], label="dominated", color="0.7", marker="o")
    _dots(ax, sorted(front.values()), label="not dominated", color=COLOURS[0], marker="o", linestyle="solid")
    word = choice_word(rows, chosen)
    _dots(ax, list(ringed.values()), label=word, marker="o", color=COLOURS[3], mfc="none", markersize=13, mew=2)
    if apart:
        ax.autoscale_view()
        for name, values in zip(("xlim", "ylim"), np.transpose(list(apart.values())), strict=True):
            if np.ptp(values) == 0:  # else matplotlib shows 94 to 104 percent around 99.3
                ax.set(**{name: (values[0] - 0.5, values[0] + 0.5)})
        ax.autoscale(False)
    outside = sum(not ax.viewLim.contains(*at) for at in overlaps) if apart else 0
    words = "hyperspheres overlap" + (f"\n({outside} of {len(overlaps)} beyond the axes)" if outside else "")
    _dots(ax, overlaps, label=words, color="0.5", marker="x")
    _numbers(ax, front | ringed)
    ax.set(xlabel="hypersphere occupancy (%)", ylabel="closed-set accuracy (%)", title=title)
    ax.title.set_fontsize(10)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _numbers(ax: Axes, named: Mapping[_Place, _Point]) -> None:
    """Number the points from the left, on alternating sides, and let the legend say which places they are."""
    for number, at in enumerate(sorted(set(named.values())), 1):
        aside, side = ((5, 4), "left") if number % 2 else ((-5, -11), "right")
        ax.annotate(str(number), at, xytext=aside, textcoords="offset points", ha=side, fontsize=8)
        for alpha, coefficient, features in sorted(place for place, there in named.items() if there == at):
            key = f"{number}: alpha {alpha:g}, coefficient {coefficient:.3g}, N {features:g}"
            ax.plot([], [], linestyle="", label=key)


def _dots(ax: Axes, at: Sequence[_Point], **looks: Any) -> None:
    if at:
        ax.plot(*np.transpose(at), **{"linestyle": "", **looks})


def _places(rows: Sequence[ResultRow]) -> dict[_Place, _Point]:
    """Return mean occupancy and accuracy in percent by (alpha, coefficient, N)."""
    found: dict[_Place, list[ResultRow]] = {}
    for row in {row.signature: row for row in rows}.values():
        if row.occupancy is not None and row.closed_set_accuracy is not None and row.radius_coefficient is not None:
            key = (row.alpha or 0.0, float(f"{row.radius_coefficient:.5g}"), float(row.features_per_class or 0))
            found.setdefault(key, []).append(row)
    return {
        place: (100 * fmean(r.occupancy or 0 for r in here), 100 * fmean(r.closed_set_accuracy or 0 for r in here))
        for place, here in found.items()
    }


def _front(places: Mapping[_Place, _Point]) -> dict[_Place, _Point]:
    """Return the places that no other reaches in both without being the same."""
    return {
        place: at
        for place, at in places.items()
        if not any(other != at and other[0] >= at[0] and other[1] >= at[1] for other in places.values())
    }
