"""A table of a measurement: as text, and as a section of a Markdown file that is replaced when it is measured again."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from difair_hpc.files import write_atomically

HEADING = "# Benchmarks\n\nEach section is written by the command that it names, with `--write docs/benchmarks.md`.\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What one measurement found."""

    name: str
    """Of its section in the Markdown file."""
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    """What has to be known to read it, the command included."""


def text(table: Table) -> str:
    """Return the table for a terminal: the first column to the left, numbers to the right."""
    lines = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([table.title, *shown, *table.notes]) + "\n"


def markdown(table: Table) -> str:
    """Return the table as a section, with the comments between which it is replaced."""
    rule = ("---", *["---:"] * (len(table.header) - 1))
    lines = ["| " + " | ".join(line) + " |" for line in (table.header, rule, *table.rows)]
    begin, end = _marks(table.name)
    return "\n".join([begin, f"## {table.title}", "", *lines, "", *[f"{note}  " for note in table.notes], end]) + "\n"


def replaced(document: str, table: Table) -> str:
    """Return the document with the table's section replaced, or added at its end."""
    begin, end = _marks(table.name)
    before, found, rest = document.partition(begin)
    if not found:
        return document.rstrip("\n") + "\n\n" + markdown(table)
    return before + markdown(table) + rest.partition(f"{end}\n")[2]


def write(path: Path, table: Table) -> None:
    """Bring the table into the Markdown file, which is made where it is absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = path.read_text("utf-8") if path.exists() else HEADING
    write_atomically(path, replaced(document, table))


def machine_and_date() -> str:
    """Return what the numbers were measured on, and when."""
    info = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    cpus = len(os.sched_getaffinity(0))
    return f"{cpu}, {cpus} cores, {system}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
