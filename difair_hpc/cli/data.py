"""`difair data` lists the data sets and where each is expected; `difair data get NAME` downloads one."""

import argparse
import dataclasses
import json

from rich.table import Table

from difair_hpc import config
from difair_hpc.cli.screen import console
from difair_hpc.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument("words", nargs="*", metavar="get NAME or key=value", help="data_root=FOLDER")


def run(arguments: argparse.Namespace) -> int:
    """List, or download and check."""
    from difair_hpc.data.catalogue import DATASETS, download, inspect

    where = config.settings_only([word for word in arguments.words if "=" in word])
    words = [word for word in arguments.words if "=" not in word]
    screen = console()
    if words:
        if words[0] != "get" or len(words) != 2:
            raise UserError(f"write difair data, or difair data get NAME with one of {', '.join(DATASETS)}.")
        place = download(words[1], where.data_root)
        screen.print(f"{words[1]} is in {place}", soft_wrap=True)
        return 0
    states = inspect(where.data_root)
    if arguments.format == "json":
        screen.out(json.dumps([dataclasses.asdict(state) for state in states], indent=1, default=str))
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("data set", "state", "where", "note"):
        table.add_column(column, overflow="fold")
    for state in states:
        table.add_row(state.name, _word(state.complete, state.present, state.verified), str(state.where), state.note)
    screen.print(table)
    return 0


def _word(complete: bool, present: bool, verified: bool | None) -> str:
    if not present:
        return "missing"
    if not complete:
        return "incomplete"
    return {True: "verified", False: "not as published", None: "present"}[verified]
