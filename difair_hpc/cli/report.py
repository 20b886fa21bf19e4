"""`difair report [STUDY]`: the study's tables on the screen, its report in a folder; reads run folders alone."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ScreenTable

from difair_hpc import config
from difair_hpc.cli.screen import console
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger, studies

if TYPE_CHECKING:
    from difair_hpc.report.layout import Table
    from difair_hpc.report.rows import StudyRows
    from difair_hpc.runs.tracking import Tracker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "words", nargs="*", metavar="STUDY or key=value", help="a study (default: the only one), root=…"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print its tables."""
    names = [word for word in arguments.words if "=" not in word]
    where = config.settings_only([word for word in arguments.words if "=" in word])
    name = named_study(where.root, names)
    if arguments.format == "json":
        import json

        from difair_hpc.report.layout import records
        from difair_hpc.report.page import study_tables

        tables = study_tables(study_rows(where.root, name))
        console().out(json.dumps({key: records(table) for key, table in tables.items()}, indent=1))
        return 0
    publish(where, name, None, console())
    return 0


def publish(where: config.Settings, name: str, tracker: "Tracker | None", screen: Console) -> None:
    """Write the report, log it to the study's MLflow run, print the two tables and where everything is."""
    from difair_hpc.report.page import study_tables, write_report

    study = study_rows(where.root, name)
    folder = ledger(where.root, name).path / "report"
    files = write_report(study, folder)
    if tracker is not None:
        tracker.finish_study(files)
    tables = study_tables(study)
    shown = [tables["table1"], tables["table2"]]
    for table in shown:
        screen.print(screen_table(table))
    for note in dict.fromkeys(note for table in shown for note in table.notes):
        screen.print(f"  {note}", markup=False)
    places = {"report": folder / "report.md", "runs": where.root / "runs"}
    if tracker is not None:
        places["MLflow"] = Path(where.tracking_uri) if where.tracking_uri else where.root / "mlflow.db"
    for what, place in places.items():
        screen.print(f"{what:8}{place}", soft_wrap=True)
    if tracker is not None:
        screen.print("look at the runs with: difair ui", soft_wrap=True)


def screen_table(table: "Table") -> ScreenTable:
    """Return a table of the report for the terminal."""
    from difair_hpc.report.layout import texts

    shown = ScreenTable(title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(table.header):
        shown.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in texts(table):
        shown.add_row(*row)
    return shown


def study_rows(root: Path, name: str) -> "StudyRows":
    """Collect the finished runs of a study from its ledger and the run folders."""
    from difair_hpc.report.rows import StageRows, StudyRows, row_from_result

    description = ledger(root, name).description()
    if description is None:
        raise InvalidValue("study", name, "one of " + (", ".join(studies(root)) or "none: no study was started yet"))
    stages = []
    for stage in description["stages"]:
        signatures = dict.fromkeys(trial["signature"] for trial in stage["trials"])
        results = {signature: run_folder(root, signature).result() for signature in signatures}
        rows = [
            row_from_result(result, where=str(run_folder(root, signature).path / "result.json"))
            for signature, result in results.items()
            if result is not None
        ]
        stages.append(
            StageRows(
                stage=stage["name"],
                rows=tuple(rows),
                planned=stage["planned"] or 0,
                reasons=tuple(stage["reasons"]),
                chosen=tuple(_without_group(choice) for choice in stage["chosen"]),
            )
        )
    return StudyRows(study=name, stages=tuple(stages))


def named_study(root: Path, names: list[str]) -> str:
    """Return the study that a command means: the one named, else the only one there is."""
    found = studies(root)
    if names:
        if names[0] not in found:
            raise InvalidValue("study", names[0], "one of " + (", ".join(found) or f"none: {root} holds no study"))
        return names[0]
    if len(found) != 1:
        known = ", ".join(found) or f"there is none in {root}; difair sweep digits starts one"
        raise UserError(f"say which study: {known}.")
    return found[0]


def _without_group(parameters: Mapping[str, Any]) -> dict[str, float]:
    return {re.sub(r"^\w+\.", "", key): value for key, value in parameters.items() if isinstance(value, int | float)}
