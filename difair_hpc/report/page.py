"""The report of a study: a folder with the paper's tables, the pictures of the search, report.md and report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.files import write_atomically
from difair_hpc.folders import usable_folder
from difair_hpc.report.cost import RunCost, cost_table
from difair_hpc.report.latex import latex
from difair_hpc.report.layout import Cell, Table, csv, escaped, markdown
from difair_hpc.report.notes import method_name, pruned_lines, warning_notes
from difair_hpc.report.rows import ResultRow, StageRows, StudyRows
from difair_hpc.report.tables_of import main_tables, study_tables
from difair_hpc.runs.shown import run_count

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


def write_report(
    study: StudyRows,
    folder: Path,
    *,
    tables: Mapping[str, Table] | None = None,
    histories: Mapping[str, History] | None = None,
    pictures: Sequence[Picture] = (),
    costs: Mapping[str, Sequence[RunCost]] | None = None,
) -> tuple[Path, ...]:
    """Write everything that can be said about the study so far; doing it again gives the same files.

    Args:
        study: The finished runs by stage; stages may be incomplete or empty.
        folder: Where the files go; made where it is missing.
        tables: What `study_tables` gives, where it is at hand already.
        histories: Metrics by epoch of some runs, by signature, each entry with "epoch" and its metrics.
        pictures: What else is to be shown, after the pictures that are drawn from the rows.
        costs: What each run took, by stage, runs without a result included; None: nobody knows.

    Returns:
        The files written, report.md last.

    Raises:
        DiskFull: No space is left.
        RootUnusable: The folder cannot be made or written.
    """
    from difair_hpc.report.canvas import save
    from difair_hpc.report.html import embedded, report_html

    usable_folder(folder, key="report folder")
    tables = study_tables(study) if tables is None else tables
    pictures = [*study_pictures(study, histories or {}), *pictures]
    written: list[Path] = []
    inside = []
    for name, table in tables.items():
        written.append(write_atomically(folder / f"{name}.md", markdown(table)))
        written.append(write_atomically(folder / f"{name}.csv", csv(table)))
        written.append(write_atomically(folder / f"{name}.tex", latex(table, label=f"tab:{name}")))
    for picture in pictures:
        files = save(picture.figure, folder / picture.name)
        inside.append(embedded(picture.name, picture.caption, files))
        written += files
    progress = _progress(study, costs or {})
    page = report_html(study, progress=progress, tables=tables, pictures=inside, costs=costs or {})
    written.append(write_atomically(folder / "report.html", page))
    written.append(write_atomically(folder / "report.md", report_text(study, tables, pictures, costs)))
    return tuple(written)


def study_pictures(study: StudyRows, histories: Mapping[str, History]) -> list[Picture]:
    """Draw what the runs allow: maps, importances and front of each search, curves of the runs with metrics."""
    searches = [picture for stage in _searches(study) for picture in _search_pictures(stage)]
    return [*searches, *_curves(study, histories)] if histories else searches


def report_text(
    study: StudyRows,
    tables: Mapping[str, Table],
    pictures: Sequence[Picture],
    costs: Mapping[str, Sequence[RunCost]] | None = None,
) -> str:
    """Return report.md: what was run, chosen and why, the tables, the pictures, what it took, the warnings."""
    every = [row for stage in study.stages for row in stage.rows]
    warnings = [f"- {escaped(line)}" for line in warning_notes(list({row.signature: row for row in every}.values()))]
    parts = [
        f"# Report of the study {escaped(study.study)}\n",
        markdown(_progress(study)),
        *(markdown(table) for name, table in tables.items() if name == "ablation"),
        *(_search_text(stage, tables, pictures) for stage in _searches(study)),
        *([] if any(stage.is_final for stage in study.stages) else ["## Comparison with the paper\n", _NO_FINAL]),
        *(_choice_text(stage) for stage in study.stages if stage.is_final and (stage.reasons or stage.chosen)),
        *(markdown(table) for name, table in tables.items() if not name.startswith(("ablation", "grid_"))),
        *_training_text(pictures),
        *([markdown(cost_table(costs))] if costs else []),
        "## Warnings\n\n" + ("\n".join(warnings) if warnings else "No run gave a warning.") + "\n",
    ]
    return "\n".join(parts)


def study_note(study: StudyRows, tables: Mapping[str, Table]) -> str:
    """Return the study on half a page of Markdown: how far it is, what was chosen, its main tables without notes."""
    choices = [f"**Stage {escaped(stage.stage)}**: {_choice_text(stage)}\n" for stage in _searches(study)]
    shown = [markdown(replace(table, notes=()), level=3) for table in main_tables(tables)]
    return "\n".join([f"## Study {escaped(study.study)}\n", markdown(_progress(study), level=3), *choices, *shown])


_SEARCHED = ("alpha", "radius_coefficient", "features_per_class")
_NO_FINAL = "This study has no final stage: the tables below hold the paper's numbers only.\n"
_NO_AXES = "The numbers in the paper's Figure 4 are not available, so none of the paper stand beside these maps.\n"


def _progress(study: StudyRows, costs: Mapping[str, Sequence[RunCost]] | None = None) -> Table:
    rows = []
    missing = 0
    prunes = any(stage.pruned for stage in study.stages)
    for stage in study.stages:
        diverged = sum(row.diverged for row in stage.rows)
        pruned = len(stage.pruned.keys() - {row.signature for row in stage.rows})
        open_runs = max(stage.planned - len(stage.rows) - len(stage.problems) - pruned, 0)
        missing += open_runs
        counts = [stage.planned, len(stage.rows) - diverged, diverged, *([pruned] if prunes else []), open_runs]
        counts += [] if costs is None else [sum(run.running for run in costs.get(stage.stage, ()))]
        rows.append((Cell(text=stage.stage), *(Cell(text=str(n), parts=(("", n),)) for n in counts)))
    note = f"The study is not finished: {run_count(missing, 'have')} not ended, and everything below is preliminary."
    return Table(
        title="What was run",
        header=(
            "Stage",
            "planned",
            "completed",
            "diverged",
            *(["pruned"] if prunes else []),
            "not ended",
            *([] if costs is None else ["of these running"]),
        ),
        rows=tuple(rows),
        notes=(*([note] if missing else []), *study.refused),
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
    if stage.pruned:
        lines += [f"- {escaped(line)}" for line in pruned_lines(stage)]
    return "\n".join(lines + [""] * bool(stage.reasons or stage.pruned))


def _training_text(pictures: Sequence[Picture]) -> list[str]:
    curves = [_link(picture) for picture in pictures if not picture.stage]
    return ["## Training\n", *curves] if curves else []


def _link(picture: Picture) -> str:
    caption = escaped(picture.caption)
    files = f"[PDF]({picture.name}.pdf), [SVG]({picture.name}.svg)"
    return f"![{caption}]({picture.name}.png)\n\n{caption} ({files})\n"


def _search_pictures(stage: StageRows) -> list[Picture]:
    from difair_hpc.report.figures import Metric, heat_map, vertical_axis
    from difair_hpc.report.searches import parameter_importances, pareto_front

    if not any(row.radius is not None for row in stage.rows):
        return []
    names: dict[str, tuple[Metric, str]] = {
        "accuracy": ("closed_set_accuracy", "Closed-set accuracy"),
        "occupancy": ("occupancy", "Hypersphere occupancy"),
    }
    trials = [
        ({key: value for key in _SEARCHED if (value := getattr(row, key)) is not None}, row.closed_set_accuracy)
        for row in stage.rows
        if row.closed_set_accuracy is not None
    ]
    further = [
        Picture(
            name=f"importances_{stage.slug}",
            caption=f"How much each parameter matters for the accuracy of stage {stage.stage}",
            figure=parameter_importances(trials),
            stage=stage.slug,
        ),
        Picture(
            name=f"pareto_{stage.slug}",
            caption=f"Closed-set accuracy against occupancy in stage {stage.stage}, with the Pareto front",
            figure=pareto_front(stage.rows, stage.chosen),
            stage=stage.slug,
        ),
    ]
    maps = [
        Picture(
            name=f"{name}_{stage.slug}",
            caption=f"{words} of stage {stage.stage}",
            figure=heat_map(stage.rows, metric=metric, y=vertical_axis(stage.rows), chosen=stage.chosen),
            stage=stage.slug,
        )
        for name, (metric, words) in names.items()
    ]
    return [*maps, *further]


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
    return [stage for stage in study.stages if not stage.is_final and stage.chooses]
