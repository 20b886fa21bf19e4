"""The paper's Tables 1 and 2 with our numbers beside the printed ones, and the results of a search (appendix C)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from difair_hpc.data.spec import SPLITS
from difair_hpc.report import paper as published
from difair_hpc.report.layout import Cell, Table, csv, escaped, markdown, records, texts
from difair_hpc.report.notes import (
    MISSING,
    MIXED,
    UNPUBLISHED,
    completed,
    differing,
    diverged_notes,
    joined,
    method_name,
    mixed_notes,
    reading_notes,
    warning_notes,
)
from difair_hpc.report.paper import PaperRow, PaperTable
from difair_hpc.report.rows import ResultRow, is_chosen

__all__ = [
    "Cell",
    "Table",
    "accuracy_table",
    "auroc_table",
    "csv",
    "escaped",
    "grid_table",
    "markdown",
    "records",
    "texts",
]

Measure = Callable[[ResultRow, PaperRow], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    """Our number for one place of a comparison."""

    mean: float
    """Percent."""
    spread: float | None
    """Population standard deviation over splits in percentage points; None with one split."""
    splits: int
    """Splits with a run."""
    mixed: bool
    """Whether runs of different settings are averaged."""


def auroc_table(rows: Sequence[ResultRow], paper: PaperTable = published.TABLE_1) -> Table:
    """Put our AUROC (percent) beside the paper's Table 1, one line per method and score."""
    known = {(line.method, line.score) for line in paper.rows}
    ours = sorted({(row.method, score) for row in rows for score in row.auroc} - known)
    extra = [PaperRow(name=f"{method_name(method)} ({score})", method=method, score=score) for method, score in ours]
    return _comparison(
        "Table 1: AUROC (%) of detecting unknown classes",
        [row for row in rows if row.diverged or row.auroc],
        [*paper.rows, *extra],
        lambda row, line: row.auroc.get(line.score or ""),
        published.THIRD_SPLIT_AUROC,
    )


def accuracy_table(rows: Sequence[ResultRow], paper: PaperTable = published.TABLE_2) -> Table:
    """Put our closed-set accuracy (percent) beside the paper's Table 2, one line per method."""
    extra = sorted({row.method for row in rows} - {line.method for line in paper.rows})
    return _comparison(
        "Table 2: closed-set accuracy (%)",
        rows,
        [*paper.rows, *(PaperRow(name=method, method=method, score=None) for method in extra)],
        lambda row, _: row.closed_set_accuracy,
        published.THIRD_SPLIT_ACCURACY,
    )


def grid_table(
    rows: Sequence[ResultRow], chosen: Sequence[Mapping[str, float]] = (), *, title: str = "Search results"
) -> Table:
    """List the runs of a search, best closed-set accuracy first.

    Args:
        rows: The runs of a search stage; those without a radius coefficient are not listed.
        chosen: The choices among them, values by name (alpha, radius_coefficient, features_per_class, radius).
        title: What stands above the table.
    """
    distinct = {row.signature: row for row in rows}.values()
    searched = sorted((row for row in distinct if row.radius_coefficient is not None), key=_rank)
    return Table(
        title=title,
        header=("alpha", "radius", "coefficient", "N", "accuracy (%)", "occupancy (%)", "remarks", "run"),
        rows=tuple(_grid_row(row, chosen) for row in searched),
        notes=tuple(_grid_notes(rows, searched)),
    )


def _comparison(
    title: str,
    rows: Sequence[ResultRow],
    lines: Sequence[PaperRow],
    measure: Measure,
    third_split: Mapping[tuple[str, str | None], float],
) -> Table:
    rows = list({row.signature: row for row in rows}.values())
    benchmarks = [*sorted({row.benchmark for row in rows} - set(published.BENCHMARKS)), *published.BENCHMARKS]
    shown = [line for line in lines if line.means or any(row.method == line.method for row in rows)]
    body = [
        (Cell(text=line.name), *(_compared(rows, line, benchmark, measure) for benchmark in benchmarks))
        for line in shown
    ]
    third = [line for line in shown if (line.method, line.score) in third_split]
    return Table(
        title=title,
        header=("Method", *(published.BENCHMARKS.get(name, name) for name in benchmarks)),
        rows=tuple(body),
        notes=(
            *reading_notes(rows),
            *mixed_notes(rows),
            *_third_split_notes(rows, third, measure, third_split),
            *diverged_notes(rows),
            *warning_notes(rows),
        ),
    )


def _compared(rows: Sequence[ResultRow], line: PaperRow, benchmark: str, measure: Measure) -> Cell:
    ours = _measured(rows, line, benchmark, measure)
    mean, spread = line.means.get(benchmark), line.spreads.get(benchmark)
    difference = None if ours is None or mean is None else round(ours.mean, 1) - mean
    return Cell(
        text=f"{_ours_text(ours)} [{_paper_text(mean, spread, difference)}]",
        parts=(
            ("mean", ours.mean if ours else None),
            ("std", ours.spread if ours else None),
            ("splits", ours.splits if ours else 0),
            ("mixed", int(ours.mixed) if ours else None),
            ("paper", mean),
            ("paper std", spread),
            ("difference", None if ours is None or mean is None else ours.mean - mean),
        ),
    )


def _measured(rows: Sequence[ResultRow], line: PaperRow, benchmark: str, measure: Measure) -> _Measured | None:
    here = [row for row in completed(rows) if (row.method, row.benchmark) == (line.method, benchmark)]
    measured = [(row, value) for row in here if (value := measure(row, line)) is not None]
    if not measured:
        return None
    by_split: dict[int, list[float]] = {}
    for row, value in measured:
        by_split.setdefault(row.split, []).append(100 * value)
    means = [fmean(values) for _, values in sorted(by_split.items())]
    return _Measured(
        mean=fmean(means),
        spread=pstdev(means) if len(means) > 1 else None,
        splits=len(means),
        mixed=bool(differing([row for row, _ in measured])),
    )


def _ours_text(ours: _Measured | None) -> str:
    if ours is None:
        return MISSING
    spread = "" if ours.spread is None else f" ± {ours.spread:.1f}"
    mark = f" {MIXED}" if ours.mixed else ""
    count = f" (n={ours.splits})" if ours.splits < SPLITS else ""
    return f"{ours.mean:.1f}{spread}{mark}{count}"


def _paper_text(mean: float | None, spread: float | None, difference: float | None) -> str:
    if mean is None:
        return UNPUBLISHED
    printed = f"{mean:.1f}" + ("" if spread is None else f" ± {spread:.1f}")
    return printed if difference is None else f"{printed}, {_signed(difference)}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text


def _third_split_notes(
    rows: Sequence[ResultRow],
    lines: Sequence[PaperRow],
    measure: Measure,
    printed: Mapping[tuple[str, str | None], float],
) -> list[str]:
    split = [row for row in rows if (row.benchmark, row.split) == ("cifar10", published.THIRD_SPLIT)]
    parts = []
    for line in lines:
        ours = _measured(split, line, "cifar10", measure)
        if ours and line.method:
            value = printed[(line.method, line.score)]
            parts.append(f"{line.name} {ours.mean:.1f} [{value:.1f}, {_signed(round(ours.mean, 1) - value)}]")
    where = f"CIFAR10 split {published.THIRD_SPLIT} beside the single models of the paper's appendix E.2"
    return [f"{where}: {'; '.join(parts)}."] if parts else []


def _grid_row(row: ResultRow, chosen: Sequence[Mapping[str, float]]) -> tuple[Cell, ...]:
    remarks = [
        *(["chosen"] if is_chosen(_values(row), chosen) else []),
        *(["overlap"] if row.overlaps else []),
        *(["diverged"] if row.diverged else []),
    ]
    percents = [None if share is None else 100 * share for share in (row.closed_set_accuracy, row.occupancy)]
    return (
        *(_number(value, "{:.4g}") for value in (row.alpha, row.radius, row.radius_coefficient)),
        _number(row.features_per_class, "{}"),
        *(_number(value, "{:.2f}") for value in percents),
        Cell(text=", ".join(remarks)),
        Cell(text=row.signature),
    )


def _values(row: ResultRow) -> dict[str, float | None]:
    names = ("alpha", "radius_coefficient", "features_per_class", "radius")
    return {name: getattr(row, name) for name in names}


def _grid_notes(rows: Sequence[ResultRow], searched: Sequence[ResultRow]) -> list[str]:
    if not searched:
        return ["No run of this search has finished yet."]
    epochs = sorted({row.epochs for row in completed(searched)})
    held_out = sorted({str(row.held_out) for row in completed(searched)})
    notes = ["Best closed-set accuracy first. overlap: coefficient of 0.5 or more, hyperspheres of two classes meet."]
    if epochs:
        length = f"Trained for {joined(epochs)} epochs (the paper: {published.EPOCHS})"
        notes.append(f"{length}, measured on {joined(held_out)} images.")
    return [*notes, *warning_notes(rows)]


def _number(value: float | None, form: str) -> Cell:
    return Cell(text=MISSING if value is None else form.format(value), parts=(("", value),))


def _rank(row: ResultRow) -> tuple[bool, float, float, float, str]:
    accuracy = row.closed_set_accuracy
    return (accuracy is None, -(accuracy or 0), row.alpha or 0, row.radius_coefficient or 0, row.signature)
