"""Where methods meet: each split of each benchmark with the runs of every method and resamples of its images (pure).

Every method is compared by the score that paper.HEADLINE fixed beforehand. What has the same classes counts once.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from difair_hpc.data.splits import BENCHMARKS, class_split
from difair_hpc.report.comparison import Floats, Verdicts, image_resamples, weighted_auroc
from difair_hpc.report.notes import completed
from difair_hpc.report.paper import BENCHMARKS as COLUMNS
from difair_hpc.report.paper import HEADLINE, REFERENCE
from difair_hpc.report.rows import ResultRow, RowKey

if TYPE_CHECKING:
    from difair_hpc.report.images import RunImages

Measure = Literal["AUROC", "accuracy"]

MEASURES: tuple[Measure, ...] = ("AUROC", "accuracy")
"""In the order of `image_resamples`."""

_AGREEMENT = 1e-4
"""AUROC from image scores may differ from the result's by this much: another device, rounded otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Place:
    """One split of a benchmark."""

    benchmark: str
    split: int
    runs: Mapping[str, tuple[ResultRow, ...]]
    """By method, its seeds."""
    drawn: Mapping[str, Floats]
    """By method, AUROC and accuracy of each resample of the images, (2, R); without methods that lack image scores."""

    def value(self, method: str, measure: Measure) -> float:
        """Return a method's number in percent, mean over seeds."""
        score = HEADLINE[method]
        rows = self.runs[method]
        return 100 * fmean(row.auroc[score] if measure == "AUROC" else row.closed_set_accuracy or 0.0 for row in rows)

    def classes(self, measure: Measure) -> Hashable:
        """Return what makes two splits the same task: equal known classes and, for the AUROC, equal unknown ones."""
        if self.benchmark not in BENCHMARKS:
            return self.benchmark, self.split
        row = next(iter(self.runs.values()))[0]
        kind = cast("Literal['vehicles', 'vaze']", row.settings.get("benchmark.cifar_plus_known", "vehicles"))
        split = class_split(self.benchmark, self.split, cifar_plus_known=kind)
        return self.benchmark, frozenset(split.known), frozenset(split.unknown) if measure == "AUROC" else None

    def training(self, methods: Sequence[str]) -> Hashable:
        """Return what places of one training have in common; a place of unknown weights has its own."""
        weights = [frozenset(row.weights for row in self.runs[method]) for method in methods]
        return (self.benchmark, self.split) if any(None in found for found in weights) else tuple(weights)


def meetings(rows: Sequence[ResultRow], images: "Mapping[RowKey, RunImages]") -> list[Place]:
    """Gather the runs of every method that has a headline score, by benchmark in the paper's order and by split.

    Args:
        rows: The runs of the final stage.
        images: Scores image by image of some runs, by `ResultRow.key`; each is asked for once.
    """
    found: dict[tuple[str, int], dict[str, tuple[ResultRow, ...]]] = {}
    for row in sorted(completed(list({row.key: row for row in rows}.values())), key=lambda row: row.seed):
        if HEADLINE.get(row.method) in row.auroc:
            runs = found.setdefault((row.benchmark, row.split), {})
            runs[row.method] = (*runs.get(row.method, ()), row)
    order = [*sorted({name for name, _ in found} - set(COLUMNS)), *COLUMNS]
    return [
        Place(benchmark=name, split=split, runs=found[name, split], drawn=_drawn(found[name, split], images))
        for name, split in sorted(found, key=lambda place: (order.index(place[0]), place[1]))
    ]


def shared(places: Sequence[Place], methods: Sequence[str], measure: Measure) -> list[Place]:
    """Return the places where all methods have runs, the first of those with the same classes."""
    first: dict[Hashable, Place] = {}
    for place in places:
        if {*methods} <= {*place.runs}:
            first.setdefault(place.classes(measure), place)
    return list(first.values())


def by_training(places: Sequence[Place], methods: Sequence[str], measure: Measure) -> list[list[float]]:
    """Return the methods' numbers in every place that counts; places that share a training of each are averaged."""
    groups: dict[Hashable, list[list[float]]] = {}
    for place in shared(places, methods, measure):
        numbers = [place.value(method, measure) for method in methods]
        groups.setdefault(place.training(methods), []).append(numbers)
    return [np.mean(numbers, axis=0).tolist() for numbers in groups.values()]


def _drawn(runs: Mapping[str, Sequence[ResultRow]], images: "Mapping[RowKey, RunImages]") -> dict[str, Floats]:
    """Resample the images of one split for all methods whose runs have scores of the images that DIFAIR's have."""
    if REFERENCE not in runs or len(runs) < 2:
        return {}
    reference = runs[REFERENCE][0]
    known = {method: [_verdicts(row, images) for row in rows] for method, rows in runs.items()}
    whole = {method: [run for run in found if run] for method, found in known.items() if all(found)}
    prints = {method: {row.data_fingerprint for row in rows} for method, rows in runs.items()}
    same = {m: found for m, found in whole.items() if prints[m] == prints[REFERENCE] and len(prints[m]) == 1}
    return image_resamples(same, [*reference.benchmark.encode(), reference.split]) if len(same) > 1 else {}


def _verdicts(row: ResultRow, images: "Mapping[RowKey, RunImages]") -> Verdicts | None:
    """Return what a run says of each image; None where that is not at hand, or gives another AUROC than the result."""
    score = HEADLINE[row.method]
    run = images.get(row.key)
    if run is None or score not in run.known.scores:
        return None
    known, unknown = run.known.scores[score], run.unknown.scores[score]
    whole = weighted_auroc(known, unknown, np.ones((len(known), 1)), np.ones((len(unknown), 1)))[0]
    if not abs(whole - row.auroc[score]) <= _AGREEMENT:
        return None
    correct = run.known.predictions_B == np.asarray(run.outputs.known.labels_B)
    return Verdicts(known=known, correct=correct, unknown=unknown)
