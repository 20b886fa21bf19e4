"""The paper's Tables 1 and 2 with our numbers beside the printed ones, and tables of that form with ours alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import Literal

from difair_hpc.data.spec import SPLITS
from difair_hpc.report import paper as published
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.notes import (
    MISSING,
    MIXED,
    UNPUBLISHED,
    completed,
    data_conflicts,
    data_notes,
    differing,
    diverged_notes,
    method_name,
    mixed_notes,
    reading_notes,
    warning_notes,
)
from difair_hpc.report.paper import PaperRow, PaperTable
from difair_hpc.report.rows import ResultRow

Measure = Callable[[ResultRow, PaperRow], float | None]
Printed = Mapping[tuple[str, str | None], float]


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
    """Whether runs of different settings, versions or images are averaged."""
    runs: tuple[str, ...]
    """Their signatures, by split."""


def auroc_table(rows: Sequence[ResultRow], paper: PaperTable = published.TABLE_1) -> Table:
    """Put our AUROC (percent) beside the paper's Table 1; rivals it only quotes get a second line if trained here."""
    return _table(
        "Table 1: AUROC (%) of detecting unknown classes",
        [row for row in rows if row.diverged or row.auroc],
        paper.rows,
        lambda row, line: row.auroc.get(line.score or ""),
        third_split=published.THIRD_SPLIT_AUROC,
    )


def accuracy_table(rows: Sequence[ResultRow], paper: PaperTable = published.TABLE_2) -> Table:
    """Put our closed-set accuracy (percent) beside the paper's Table 2, one line per method."""
    extra = sorted({row.method for row in rows} - {line.method for line in paper.rows})
    return _table(
        "Table 2: closed-set accuracy (%)",
        rows,
        [*paper.rows, *(PaperRow(name=method, method=method, score=None) for method in extra)],
        lambda row, _: row.closed_set_accuracy,
        third_split=published.THIRD_SPLIT_ACCURACY,
    )


def further_table(rows: Sequence[ResultRow]) -> Table:
    """Return the AUROC (percent) of every score and method that Table 1 does not have; without lines: there is none."""
    lines = [line for line in _all_lines(rows) if line not in published.TABLE_1.rows]
    return _own_table("AUROC (%) of further scores and methods", rows, lines, "auroc")


def oscr_table(rows: Sequence[ResultRow]) -> Table:
    """Return the OSCR (percent) of all scores; without lines where no result has it."""
    title = "OSCR (%): AUROC with credit for correctly classified known images only"
    return _own_table(title, rows, _all_lines(rows), "oscr")


def fpr95_table(rows: Sequence[ResultRow]) -> Table:
    """Return the FPR95 (percent, known positive) of all scores; without lines where no result has it."""
    share = "share of unknown images accepted where 95 % of the known are"
    title = f"FPR95 (%): known is the positive class: {share}; lower is better"
    return _own_table(title, rows, _all_lines(rows), "fpr95")


def _all_lines(rows: Sequence[ResultRow]) -> list[PaperRow]:
    """Return the lines of Table 1 that are ours, and one for every other method and score."""
    lines = [line for line in published.TABLE_1.rows if line.method]
    ours = sorted({(row.method, score) for row in rows for score in row.auroc} - {(r.method, r.score) for r in lines})
    return [*lines, *(PaperRow(name=f"{method_name(m)}: {score}", method=m, score=score) for m, score in ours)]


def _own_table(
    title: str, rows: Sequence[ResultRow], lines: Sequence[PaperRow], metric: Literal["auroc", "oscr", "fpr95"]
) -> Table:
    def measure(row: ResultRow, line: PaperRow) -> float | None:
        values: Mapping[str, float] = getattr(row, metric) if row.method == line.method else {}
        return values.get(line.score or "")

    shown = [line for line in lines if any(measure(row, line) is not None for row in rows)]
    bare = [replace(line, means={}, spreads={}) for line in shown]
    return _table(title, [row for row in rows if getattr(row, metric)], bare, measure, lowest=metric == "fpr95")


def _table(
    title: str,
    rows: Sequence[ResultRow],
    lines: Sequence[PaperRow],
    measure: Measure,
    *,
    third_split: Printed | None = None,
    lowest: bool = False,
) -> Table:
    """Make a table with the paper's numbers beside ours where the `lines` have any, else with the columns of ours."""
    rows = list({row.key: row for row in rows}.values())
    beside = any(line.means for line in lines)
    ours = {row.benchmark for row in rows}
    benchmarks = [*sorted(ours - set(published.BENCHMARKS)), *(b for b in published.BENCHMARKS if beside or b in ours)]
    shown = [line for line in lines if line.means or any(row.method == line.method for row in rows)]
    columns = []
    for benchmark in benchmarks:
        numbers = [_measured(rows, line, benchmark, measure) for line in shown]
        cells = [_cell(line, number, benchmark, beside=beside) for line, number in zip(shown, numbers, strict=True)]
        columns.append([replace(cell, best=best) for cell, best in zip(cells, _best(numbers, lowest), strict=True)])
    third = [line for line in shown if (line.method, line.score) in (third_split or {})]
    return Table(
        title=title,
        header=("Method", *(published.BENCHMARKS.get(name, name) for name in benchmarks)),
        rows=tuple((Cell(text=line.name), *cells) for line, *cells in zip(shown, *columns, strict=True)),
        notes=(
            *reading_notes(rows, beside=beside),
            *([published.QUOTED] if any(line.method is None for line in shown) else []),
            *mixed_notes(rows),
            *data_notes(rows),
            *_third_split_notes(rows, third, measure, third_split or {}),
            *diverged_notes(rows),
            *warning_notes(rows),
        ),
    )


def _best(numbers: Sequence[_Measured | None], lowest: bool) -> list[bool]:
    """Say which numbers are the best as printed; those over fewer splits than others do not compare with them."""
    most = max((number.splits for number in numbers if number), default=0)
    sign = -1 if lowest else 1
    printed = [sign * round(n.mean, 1) if n is not None and n.splits == most else None for n in numbers]
    compared = [value for value in printed if value is not None]
    return [len(compared) > 1 and value == max(compared) for value in printed]


def _cell(line: PaperRow, ours: _Measured | None, benchmark: str, *, beside: bool) -> Cell:
    mean, spread = line.means.get(benchmark), line.spreads.get(benchmark)
    difference = None if ours is None or mean is None else round(ours.mean, 1) - mean
    parts: list[tuple[str, float | None]] = [
        ("mean", ours.mean if ours else None),
        ("std", ours.spread if ours else None),
        ("splits", ours.splits if ours else 0),
        ("mixed", int(ours.mixed) if ours else None),
    ]
    if beside:
        exact = None if ours is None or mean is None else ours.mean - mean
        parts += [("paper", mean), ("paper std", spread), ("difference", exact)]
    return Cell(
        text=_ours_text(ours) + (f" [{_paper_text(mean, spread, difference)}]" if beside else ""),
        parts=tuple(parts),
        links=ours.runs if ours else (),
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
        mixed=bool(differing([row for row, _ in measured]))
        or any((benchmark, split) in data_conflicts(rows) for split in by_split),
        runs=tuple(row.signature for row, _ in sorted(measured, key=lambda pair: (pair[0].split, pair[0].seed))),
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
    return printed if difference is None else f"{printed}, {signed(difference)}"


def signed(value: float) -> str:
    """Return a difference with its sign and one decimal; what rounds to zero has none."""
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text


def _third_split_notes(
    rows: Sequence[ResultRow], lines: Sequence[PaperRow], measure: Measure, printed: Printed
) -> list[str]:
    split = [row for row in rows if (row.benchmark, row.split) == ("cifar10", published.THIRD_SPLIT)]
    parts = []
    for line in lines:
        ours = _measured(split, line, "cifar10", measure)
        if ours and line.method:
            value = printed[(line.method, line.score)]
            parts.append(f"{line.name} {ours.mean:.1f} [{value:.1f}, {signed(round(ours.mean, 1) - value)}]")
    where = f"CIFAR10 split {published.THIRD_SPLIT} beside the single models of the paper's appendix E.2"
    return [f"{where}: {'; '.join(parts)}."] if parts else []
