"""`difair report [STUDY]`: the study's tables on the screen, its report in a folder; reads run folders alone."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ScreenTable

from difair_hpc import config
from difair_hpc.cli.gather import split_pictures, study_costs, study_histories, study_images, study_rows
from difair_hpc.cli.needs import require_root
from difair_hpc.cli.overview import lacking
from difair_hpc.cli.screen import complain, console
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.folders import keep_private
from difair_hpc.runs.server import server_of
from difair_hpc.runs.shown import keep_report
from difair_hpc.runs.sqlite import own_store
from difair_hpc.sweep.ledger import ledger, studies

if TYPE_CHECKING:
    from difair_hpc.report.layout import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--rescore", action="store_true", help="compute all scores anew from the saved outputs; needs no GPU"
    )
    parser.add_argument(
        "words", nargs="*", metavar="STUDY or key=value", help="a study (default: the only one), root=…"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print its tables."""
    names = [word for word in arguments.words if "=" not in word]
    where = config.settings_only([word for word in arguments.words if "=" in word])
    require_root(where, arguments.words)
    name = named_study(where.root, names)
    if arguments.format == "json":
        import json

        from difair_hpc.report.layout import records
        from difair_hpc.report.tables_of import study_tables

        study = study_rows(where.root, name, rescore=arguments.rescore)
        tables = study_tables(study, study_images(where.root, study))
        for problem in dict.fromkeys(problem for stage in study.stages for problem in stage.problems):
            complain(problem)
        console().out(json.dumps({key: records(table) for key, table in tables.items()}, indent=1))
        return 0
    keep_private(where.root)
    publish(where, name, console(), rescore=arguments.rescore)
    return 0


def publish(
    where: config.Settings, name: str, screen: Console, *, tracked: bool = False, rescore: bool = False
) -> None:
    """Write the report and what MLflow gets of it, print the main tables and where everything is."""
    from difair_hpc.report.page import study_note, write_report
    from difair_hpc.report.tables_of import main_tables, study_tables

    study = replace(study_rows(where.root, name, rescore=rescore), refused=tuple(lacking(where, name)))
    images = study_images(where.root, study)
    tables = study_tables(study, images)
    pictures, unread = split_pictures(where.root, where.data_root, study)
    home = ledger(where.root, name).path
    folder = home / "report"
    files = write_report(
        study,
        folder,
        tables=tables,
        histories=study_histories(where.root, study),
        pictures=pictures,
        costs=study_costs(where.root, name),
    )
    keep_report(home, files, study_note(study, tables))
    shown = main_tables(tables)
    for table in shown:
        screen.print(screen_table(table))
    for note in dict.fromkeys(note for table in shown for note in table.notes):
        screen.print(f"  {note}")
    for problem in dict.fromkeys([*images.problems, *unread, *study.refused]):
        screen.print(f"  {problem}")
    show_places(where, {"report": folder / "report.md", "page": folder / "report.html"}, screen, tracked=tracked)


def show_places(where: config.Settings, written: Mapping[str, Path], screen: Console, *, tracked: bool) -> None:
    """Print where everything is; `written`: what belongs to the report."""
    places: dict[str, Path | str] = {**written, "runs": where.root / "runs"}
    if tracked:
        places["MLflow"] = where.tracking_uri or server_of(where.root) or own_store(where.root)
    for what, path in places.items():
        screen.print(f"{what:8}{path}", soft_wrap=True)
    if tracked:
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
