"""All tables of a study by the names of their files."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from difair_hpc.report.ablation import ablation_table
from difair_hpc.report.grid import grid_table, runs_table
from difair_hpc.report.layout import Table
from difair_hpc.report.pairs import comparison_tables
from difair_hpc.report.rows import RowKey, StudyRows
from difair_hpc.report.tables import accuracy_table, auroc_table, fpr95_table, further_table, oscr_table

if TYPE_CHECKING:
    from difair_hpc.report.images import RunImages


def study_tables(study: StudyRows, images: "Mapping[RowKey, RunImages] | None" = None) -> dict[str, Table]:
    """Return the tables of the report by file name without suffix.

    Args:
        study: The finished runs by stage.
        images: Scores image by image of some runs, by `ResultRow.key`; each is asked for a few times at most.

    Returns:
        ablation where stages choose nothing, grid_<stage> per search, table1 and table2 always; further_scores, oscr,
        fpr95, comparison, ranks and runs where there is something to show.
    """
    grids = {
        f"grid_{stage.slug}": _with_problems(
            grid_table(stage.rows, stage.chosen, title=f"Search results of stage {stage.stage}"), stage.problems
        )
        for stage in study.stages
        if not stage.is_final and stage.chooses
    }
    compared = [stage for stage in study.stages if not (stage.is_final or stage.chooses)]
    problems = tuple(problem for stage in compared for problem in stage.problems)
    rows = study.final_rows
    further = {
        "further_scores": further_table(rows),
        "oscr": oscr_table(rows),
        "fpr95": fpr95_table(rows),
        **comparison_tables(rows, images or {}),
        "runs": runs_table(rows),
    }
    return {
        **({"ablation": _with_problems(ablation_table(compared), problems)} if compared else {}),
        **grids,
        "table1": _with_problems(auroc_table(rows), study.final_problems),
        "table2": _with_problems(accuracy_table(rows), study.final_problems),
        **{name: table for name, table in further.items() if table.rows},
    }


def main_tables(tables: Mapping[str, Table]) -> list[Table]:
    """Return the tables to look at first: that of an ablation where there is one, else tables 1 and 2."""
    return [tables[name] for name in (("ablation",) if "ablation" in tables else ("table1", "table2"))]


def _with_problems(table: Table, problems: tuple[str, ...]) -> Table:
    return replace(table, notes=(*table.notes, *problems))
