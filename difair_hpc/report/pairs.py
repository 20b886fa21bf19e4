"""DIFAIR against every other method: tables of differences with their uncertainty, and of ranks (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from difair_hpc.report import paper as published
from difair_hpc.report.comparison import RESAMPLES, SignedRanks, holm, interval, mean_ranks, signed_ranks
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.notes import MISSING, MIXED, data_notes, differing, joined, method_name
from difair_hpc.report.paper import HEADLINE, REFERENCE
from difair_hpc.report.places import MEASURES, Measure, Place, by_training, meetings, shared
from difair_hpc.report.rows import ResultRow, RowKey
from difair_hpc.report.tables import signed

if TYPE_CHECKING:
    from difair_hpc.report.images import RunImages


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Difference:
    """DIFAIR minus one other method on one benchmark, in percentage points."""

    points: Sequence[float]
    """The difference on each split that counts."""
    runs: tuple[str, ...]
    """Signatures of the runs behind them."""
    bounds: tuple[float, float] | None
    """The 95 % interval of their mean; None: one split, and no image scores."""
    images: bool
    """Whether images were resampled within splits."""
    notes: tuple[str, ...]
    """In what the runs differ beside the method."""


def comparison_tables(rows: Sequence[ResultRow], images: "Mapping[RowKey, RunImages]") -> dict[str, Table]:
    """Return the tables `comparison` and `ranks`, each only where methods meet on a split.

    Args:
        rows: The runs of the final stage.
        images: Scores image by image of some runs, by `ResultRow.key`; each is asked for once.
    """
    places = meetings(rows, images)
    tables = {"comparison": _comparison(places), "ranks": _ranks(places)}
    return {name: table for name, table in tables.items() if table.rows}


def _comparison(places: Sequence[Place]) -> Table:
    benchmarks = [*dict.fromkeys(p.benchmark for p in places if len(p.runs) > 1 and REFERENCE in p.runs)]
    others = [name for name in HEADLINE if name != REFERENCE and any({REFERENCE, name} <= {*p.runs} for p in places)]
    found: list[_Difference] = []
    body = []
    for measure in MEASURES:
        for method, test in zip(others, _test_cells(places, others, measure), strict=True):
            differences = [_difference(places, benchmark, method, measure) for benchmark in benchmarks]
            found += [difference for difference in differences if difference]
            cells = [_difference_cell(difference) for difference in differences]
            body.append((Cell(text=method_name(method)), Cell(text=measure), *cells, test))
    columns = [published.BENCHMARKS.get(name, name) for name in benchmarks]
    unequal = dict.fromkeys(note for difference in found for note in difference.notes)
    return Table(
        title=f"{method_name(REFERENCE)} minus each other method, in percentage points",
        header=("Compared with", "measure", *columns, "signed ranks"),
        rows=tuple(body),
        notes=(*_comparison_notes(others, found), *unequal),
    )


def _difference(places: Sequence[Place], benchmark: str, method: str, measure: Measure) -> _Difference | None:
    pair = (REFERENCE, method)
    here = shared([place for place in places if place.benchmark == benchmark], pair, measure)
    if not here:
        return None
    points = [place.value(REFERENCE, measure) - place.value(method, measure) for place in here]
    images = all({*pair} <= {*place.drawn} for place in here)
    draws = [
        100 * (place.drawn[REFERENCE] - place.drawn[method])[MEASURES.index(measure)] if images else [point]
        for place, point in zip(here, points, strict=True)
    ]
    rows = [row for place in here for name in pair for row in place.runs[name]]
    unequal = [f"{key} {joined(values)}" for key, values in differing(rows, apart="method.").items()]
    where = f"{method_name(method)} on {published.BENCHMARKS.get(benchmark, benchmark)}"
    notes = [f"{MIXED} {where}: the runs differ in more than the method: {'; '.join(unequal)}."] if unequal else []
    return _Difference(
        points=points,
        runs=tuple(row.signature for row in rows),
        bounds=interval(np.array(draws)) if images or len(points) > 1 else None,
        images=images,
        notes=(*notes, *data_notes(rows)),
    )


def _test_cells(places: Sequence[Place], others: Sequence[str], measure: Measure) -> list[Cell]:
    """Return the test over all benchmarks per method, its p also after Holm for the number of methods."""
    pairs = [by_training(places, (REFERENCE, method), measure) for method in others]
    tests = [signed_ranks([ours - theirs for ours, theirs in pair]) for pair in pairs]
    reached = [number for number, test in enumerate(tests) if test.p is not None]
    adjusted = dict(zip(reached, holm([test.p for test in tests if test.p is not None]), strict=True))
    return [_test_cell(test, adjusted.get(number)) for number, test in enumerate(tests)]


def _test_cell(test: SignedRanks, adjusted: float | None) -> Cell:
    count, least = test.differences, test.least_p
    return Cell(
        text=f"n too small (n={count}, least p {least:.2g})"
        if test.p is None
        else f"p {test.p:.2g}, Holm {adjusted:.2g} (n={count})",
        parts=(("p", test.p), ("Holm p", adjusted), ("n", count), ("least p", least)),
    )


def _difference_cell(found: _Difference | None) -> Cell:
    if found is None:
        return Cell(text=MISSING, parts=(("mean", None), ("splits", 0)))
    mean, count = fmean(found.points), len(found.points)
    low, high = found.bounds or (None, None)
    bounds = "" if low is None or high is None else f" [{signed(low)}, {signed(high)}]"
    mark = f" {MIXED}" if found.notes else ""
    return Cell(
        text=f"{signed(mean)}{bounds}{mark} (n={count}{'' if found.images else ', splits only'})",
        parts=(("mean", mean), ("low", low), ("high", high), ("splits", count), ("images", int(found.images))),
        links=found.runs,
    )


def _comparison_notes(others: Sequence[str], found: Sequence[_Difference]) -> list[str]:
    scores = joined([f"{method_name(name)} {HEADLINE[name]}" for name in (REFERENCE, *others)])
    count = sum(difference.bounds is not None for difference in found)
    notes = [
        "Each cell: mean difference over n splits (seeds of one split are averaged first), in brackets its 95 % "
        f"percentile interval from {RESAMPLES} bootstrap resamples: splits are drawn with replacement, and in each "
        "drawn split its known and its unknown images, the same for both methods. With n=1 images alone are drawn.",
        f"AUROC by scores that were fixed before any run: {scores}.",
        "Splits with the same classes count once, by the first that both methods have: for the AUROC those with the "
        "same known and unknown classes (0 and 1 of CIFAR10 and of SVHN), for the accuracy those with the same known.",
        "Over five splits such an interval is too narrow: it holds the true mean in about 84 of 100 cases, over four "
        f"in 81. Where many stand (here {count}), some miss by chance alone. Chance in training is in them only as far "
        "as splits were trained apart.",
        "signed ranks: exact two-sided Wilcoxon test over the splits of all benchmarks, zeros left out; splits that "
        "share one training of each method are averaged to one. Holm: p adjusted for the number of methods.",
    ]
    if any(not difference.images for difference in found):
        notes.append(
            "splits only: images are not resampled, because scores of single images are missing for a run, are not "
            "about the same images, or give another AUROC than its result."
        )
    return notes


def _ranks(places: Sequence[Place]) -> Table:
    """Rank the methods by AUROC in every place where all of them have runs."""
    methods = [method for method in HEADLINE if any(method in place.runs for place in places)]
    numbers = by_training(places, methods, "AUROC") if len(methods) > 1 else []
    ranks = mean_ranks(np.array(numbers)).tolist() if numbers else []
    body = [
        (
            Cell(text=method_name(method)),
            Cell(text=HEADLINE[method]),
            Cell(text=f"{rank:.2f}", parts=(("", rank),)),
        )
        for rank, method in sorted(zip(ranks, methods, strict=False))
    ]
    return Table(
        title="Average rank by AUROC, 1 is best",
        header=("Method", "score", "rank"),
        rows=tuple(body),
        notes=(
            f"Mean over the n={len(numbers)} places (benchmark and split) where all {len(methods)} methods have runs; "
            "ties share the mean of their ranks. Splits with the same classes count once, and those that share one "
            "training of each method are averaged to one.",
        ),
    )
