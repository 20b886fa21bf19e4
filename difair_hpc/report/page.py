"""The report of a study: a folder with the paper's tables, the pictures of the search, and report.md over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.files import usable_folder, write_atomically
from difair_hpc.report.layout import Cell, Table, csv, escaped, markdown
from difair_hpc.report.notes import method_name, run_count, warning_notes
from difair_hpc.report.rows import FINAL, ResultRow, StageRows, StudyRows
from difair_hpc.report.tables import accuracy_table, auroc_table, grid_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of the report."""

    name: str
    """File name without suffix."""
    caption: str
    """What it shows."""
    figure: "Figure"
    """The drawing."""
    stage: str = ""
    """The search stage it belongs to; empty: the whole study."""


def write_report(study: StudyRows, folder: Path, *, histories: Mapping[str, History] | None = None) -> tuple[Path, ...]:
    """Write everything that can be said about the study so far; doing it again gives the same files.

    Args:
        study: The finished runs by stage; stages may be incomplete or empty.
        folder: Where the files go; made where it is missing.
        histories: Metrics by epoch of some runs, by signature, each entry with "epoch" and its metrics.

    Returns:
        The files written, report.md last.

    Raises:
        DiskFull: No space is left.
        RootUnusable: The folder cannot be made or written.
    """
    from difair_hpc.report.canvas import save

    usable_folder(folder, key="report folder")
    tables = study_tables(study)
    pictures = study_pictures(study, histories or {})
    written: list[Path] = []
    for name, table in tables.items():
        written.append(write_atomically(folder / f"{name}.md", markdown(table)))
        written.append(write_atomically(folder / f"{name}.csv", csv(table)))
    for picture in pictures:
        written += save(picture.figure, folder / picture.name)
    written.append(write_atomically(folder / "report.md", report_text(study, tables, pictures)))
    return tuple(written)


def study_tables(study: StudyRows) -> dict[str, Table]:
    """Return the tables of the report by file name without suffix: grid_<stage> per search, table1, table2."""
    grids = {
        f"grid_{stage.slug}": grid_table(stage.rows, stage.chosen, title=f"Search results of stage {stage.stage}")
        for stage in _searches(study)
    }
    return {**grids, "table1": auroc_table(study.final_rows), "table2": accuracy_table(study.final_rows)}


def study_pictures(study: StudyRows, histories: Mapping[str, History]) -> list[Picture]:
    """Draw what the runs allow: two heat maps per search with runs, and curves of the runs whose metrics are given."""
    searches = [picture for stage in _searches(study) for picture in _maps(stage)]
    return [*searches, *_curves(study, histories)] if histories else searches


def report_text(study: StudyRows, tables: Mapping[str, Table], pictures: Sequence[Picture]) -> str:
    """Return report.md: what was run, what was chosen and why, the tables, the pictures, the warnings."""
    every = [row for stage in study.stages for row in stage.rows]
    warnings = [f"- {escaped(line)}" for line in warning_notes(list({row.signature: row for row in every}.values()))]
    parts = [
        f"# Report of the study {escaped(study.study)}\n",
        markdown(_progress(study)),
        *(_search_text(stage, tables, pictures) for stage in _searches(study)),
        *([] if any(stage.slug == FINAL for stage in study.stages) else ["## Comparison with the paper\n", _NO_FINAL]),
        *(_choice_text(stage) for stage in study.stages if stage.slug == FINAL and (stage.reasons or stage.chosen)),
        markdown(tables["table1"]),
        markdown(tables["table2"]),
        *_training_text(pictures),
        "## Warnings\n\n" + ("\n".join(warnings) if warnings else "No run gave a warning.") + "\n",
    ]
    return "\n".join(parts)


_NO_FINAL = "This study has no final stage: the tables below hold the paper's numbers only.\n"
_NO_AXES = "The numbers in the paper's Figure 4 are not available, so none of the paper stand beside these maps.\n"


def _progress(study: StudyRows) -> Table:
    rows = []
    missing = 0
    for stage in study.stages:
        diverged = sum(row.diverged for row in stage.rows)
        open_runs = max(stage.planned - len(stage.rows), 0)
        missing += open_runs
        counts = (stage.planned, len(stage.rows) - diverged, diverged, open_runs)
        rows.append((Cell(text=stage.stage), *(Cell(text=str(n), parts=(("", n),)) for n in counts)))
    verb = "has" if missing == 1 else "have"
    note = f"The study is not finished: {run_count(missing)} {verb} not ended, and everything below is preliminary."
    return Table(
        title="What was run",
        header=("Stage", "planned", "completed", "diverged", "not ended"),
        rows=tuple(rows),
        notes=(note,) if missing else (),
    )


def _search_text(stage: StageRows, tables: Mapping[str, Table], pictures: Sequence[Picture]) -> str:
    maps = [_link(picture) for picture in pictures if picture.stage == stage.slug]
    return "\n".join(
        [
            f"## Stage {escaped(stage.stage)}\n",
            _choice_text(stage),
            *(maps or ["No run of this stage can be drawn yet.\n"]),
            *([_NO_AXES] if maps else []),
            markdown(tables[f"grid_{stage.slug}"], level=3),
        ]
    )


def _choice_text(stage: StageRows) -> str:
    chosen = "; ".join(", ".join(f"{key} = {value:g}" for key, value in choice.items()) for choice in stage.chosen)
    lines = [f"Chosen: {escaped(chosen)}." if chosen else "Nothing is chosen yet.", ""]
    lines += [f"- {escaped(reason)}" for reason in stage.reasons]
    return "\n".join(lines + [""] * bool(stage.reasons))


def _training_text(pictures: Sequence[Picture]) -> list[str]:
    curves = [_link(picture) for picture in pictures if not picture.stage]
    return ["## Training\n", *curves] if curves else []


def _link(picture: Picture) -> str:
    caption = escaped(picture.caption)
    files = f"[PDF]({picture.name}.pdf), [SVG]({picture.name}.svg)"
    return f"![{caption}]({picture.name}.png)\n\n{caption} ({files})\n"


def _maps(stage: StageRows) -> list[Picture]:
    from difair_hpc.report.figures import Metric, heat_map, vertical_axis

    if not any(row.radius is not None for row in stage.rows):
        return []
    names: dict[str, tuple[Metric, str]] = {
        "accuracy": ("closed_set_accuracy", "Closed-set accuracy"),
        "occupancy": ("occupancy", "Hypersphere occupancy"),
    }
    return [
        Picture(
            name=f"{name}_{stage.slug}",
            caption=f"{words} of stage {stage.stage}",
            figure=heat_map(stage.rows, metric=metric, y=vertical_axis(stage.rows), chosen=stage.chosen),
            stage=stage.slug,
        )
        for name, (metric, words) in names.items()
    ]


def _curves(study: StudyRows, histories: Mapping[str, History]) -> list[Picture]:
    from difair_hpc.report.curves import SPREAD, spread_curve, training_curves

    rows = {row.signature: row for stage in study.stages for row in stage.rows}
    labels = {signature: _label(rows.get(signature), signature) for signature in sorted(histories)}
    named = {label: histories[signature] for signature, label in labels.items()}
    pictures = [Picture(name="training", caption="Metrics over epochs", figure=training_curves(named))]
    for signature, label in labels.items():
        if any(name.startswith(SPREAD) for entry in histories[signature] for name in entry):
            figure = spread_curve(histories[signature], restarts=_restarts(rows.get(signature)))
            caption = f"Spread of the class weights of the last convolution: {label}"
            pictures.append(Picture(name=f"weight_spread_{signature}", caption=caption, figure=figure))
    return pictures


def _label(row: ResultRow | None, signature: str) -> str:
    if row is None:
        return signature
    anchors = f", alpha {row.alpha:g}" if row.alpha is not None else ""
    spheres = f", coefficient {row.radius_coefficient:.4g}" if row.radius_coefficient is not None else ""
    return (
        f"{method_name(row.method)} {row.benchmark} split {row.split} seed {row.seed}{anchors}{spheres} ({signature})"
    )


def _restarts(row: ResultRow | None) -> tuple[int, ...]:
    """Return the epochs at which a completed run began a new cosine cycle (A.2)."""
    cycles = row.settings.get("protocol.cycles") if row else None
    if row is None or row.diverged or not isinstance(cycles, int):
        return ()
    return tuple(row.epochs // cycles * number for number in range(1, cycles))


def _searches(study: StudyRows) -> list[StageRows]:
    return [stage for stage in study.stages if stage.slug != FINAL]
