"""Lists of runs: the results of a search, best first (appendix C), and the runs behind the tables."""

from collections.abc import Mapping, Sequence

from difair_hpc.report import paper as published
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.notes import MISSING, completed, joined, method_name, training_notes, warning_notes
from difair_hpc.report.rows import ResultRow, choice_word, is_chosen, searched_values


def grid_table(
    rows: Sequence[ResultRow], chosen: Sequence[Mapping[str, float]] = (), *, title: str = "Search results"
) -> Table:
    """List the runs of a search, best closed-set accuracy first.

    Args:
        rows: The runs of a search stage; those without a radius coefficient are not listed.
        chosen: The choices among them, values by name (alpha, radius_coefficient, features_per_class, radius).
        title: What stands above the table.
    """
    distinct = {row.key: row for row in rows}.values()
    searched = sorted((row for row in distinct if row.radius_coefficient is not None), key=_rank)
    return Table(
        title=title,
        header=("alpha", "radius", "coefficient", "N", "accuracy (%)", "occupancy (%)", "remarks", "run"),
        rows=tuple(_grid_row(row, chosen, choice_word(searched, chosen)) for row in searched),
        notes=tuple(_grid_notes(rows, searched)),
    )


def _grid_row(row: ResultRow, chosen: Sequence[Mapping[str, float]], word: str) -> tuple[Cell, ...]:
    remarks = [
        *([word] if is_chosen(searched_values(row), chosen) else []),
        *(["overlap"] if row.overlaps else []),
        *(["diverged"] if row.diverged else []),
    ]
    percents = [None if share is None else 100 * share for share in (row.closed_set_accuracy, row.occupancy)]
    return (
        *(_number(value, "{:.4g}") for value in (row.alpha, row.radius, row.radius_coefficient)),
        _number(row.features_per_class, "{}"),
        *(_number(value, "{:.2f}") for value in percents),
        Cell(text=", ".join(remarks)),
        Cell(text=row.signature, links=(row.signature,)),
    )


def _grid_notes(rows: Sequence[ResultRow], searched: Sequence[ResultRow]) -> list[str]:
    if not searched:
        return ["No run of this search has finished yet."]
    order = "Best closed-set accuracy first. overlap: coefficient of 0.5 or more, hyperspheres of two classes meet."
    return [order, *length_notes(searched), *warning_notes(rows)]


def length_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Say for how long runs were trained and on which images they were measured, where any was."""
    if not (done := completed(rows)):
        return []
    epochs = sorted({row.epochs for row in done})
    unit = "epoch" if epochs == [1] else "epochs"
    length = f"Trained for {joined(epochs)} {unit} (the paper: {published.EPOCHS})"
    return [f"{length}, measured on {joined(sorted({str(row.held_out) for row in done}))} images."]


def _number(value: float | None, form: str) -> Cell:
    return Cell(text=MISSING if value is None else form.format(value), parts=(("", value),))


def _rank(row: ResultRow) -> tuple[bool, float, float, float, str]:
    accuracy = row.closed_set_accuracy
    return (accuracy is None, -(accuracy or 0), row.alpha or 0, row.radius_coefficient or 0, row.signature)


def runs_table(rows: Sequence[ResultRow]) -> Table:
    """Name the run folder behind every number of the tables, and what its training took."""
    ordered = sorted(
        {row.key: row for row in rows}.values(), key=lambda row: (row.method, row.benchmark, row.split, row.seed)
    )
    return Table(
        title="Runs behind the tables",
        header=("Method", "Benchmark", "split", "seed", "epochs", "minutes", "attempts", "run"),
        rows=tuple(_run_row(row) for row in ordered),
        notes=("run: folder below runs/. minutes: training time of all attempts.", *training_notes(rows)),
    )


def _run_row(row: ResultRow) -> tuple[Cell, ...]:
    shared = f", trained as {row.trained_as}" if row.trained_as else ""
    return (
        Cell(text=method_name(row.method)),
        Cell(text=published.BENCHMARKS.get(row.benchmark, row.benchmark)),
        *(_number(value, "{}") for value in (row.split, row.seed, row.epochs)),
        _number(None if row.seconds is None else row.seconds / 60, "{:.1f}"),
        _number(row.attempts, "{}"),
        Cell(text=f"{row.signature}{shared}{', diverged' if row.diverged else ''}", links=(row.signature,)),
    )
