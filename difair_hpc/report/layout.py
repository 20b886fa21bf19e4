"""A table as plain data, and its forms: Markdown for people, CSV and records for programs, texts for the terminal."""

import csv as csv_format
import io
from collections.abc import Sequence
from dataclasses import dataclass

Plain = str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One place of a table: what a person reads and what a program reads."""

    text: str
    """For people."""
    parts: tuple[tuple[str, Plain], ...] = ()
    """For programs, by name; the name "" is the column's own. Empty: the text is the value."""
    best: bool = False
    """Whether our number is the best of its column; `strong` says which part of the text is to be bold."""
    links: tuple[str, ...] = ()
    """Signatures of the runs behind the number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table with the notes that belong below it."""

    title: str
    """What the table shows, unit included."""
    header: tuple[str, ...]
    """One name per column."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells, as many per row as there are columns."""
    notes: tuple[str, ...] = ()
    """What has to be known to read it, one sentence or two each."""

    def __post_init__(self) -> None:
        """Check our own work: every row fills every column."""
        assert all(len(row) == len(self.header) for row in self.rows), "a row has other columns than the header"


def strong(cell: Cell) -> tuple[str, str]:
    """Return the text in two parts: what is bold where the cell is best, and the rest (the paper's number, with [ )."""
    ours, bracket, rest = cell.text.partition(" [")
    return ours, bracket + rest


def texts(table: Table) -> list[list[str]]:
    """Return the cells as texts, row by row, for a terminal."""
    return [[cell.text for cell in row] for row in table.rows]


def records(table: Table) -> list[dict[str, Plain]]:
    """Return one mapping of plain values per row; a column of several parts gives one key per part."""
    keys = [(column, part) for column in range(len(table.header)) for part in _parts(table, column)]
    return [{_key(table, column, part): _value(row[column], part) for column, part in keys} for row in table.rows]


def markdown(table: Table, *, level: int = 2) -> str:
    """Return the table as GitHub Markdown: a heading of this `level`, the table, the notes."""
    lines = [f"{'#' * level} {escaped(table.title)}", ""]
    lines += [
        _markdown_line([_inline(name) for name in table.header]),
        _markdown_line(["---"] + ["---:"] * (len(table.header) - 1)),
    ]
    lines += [_markdown_line([_markdown_cell(cell) for cell in row]) for row in table.rows]
    lines += [""] * bool(table.notes) + [f"- {escaped(note)}" for note in table.notes]
    return "\n".join(lines) + "\n"


def csv(table: Table) -> str:
    """Return the table as CSV with a header line; text that a spreadsheet would run as a formula gets a leading '."""
    keys = [_key(table, column, part) for column in range(len(table.header)) for part in _parts(table, column)]
    stream = io.StringIO()
    writer = csv_format.writer(stream, lineterminator="\n")
    writer.writerow([_inert(key) for key in keys])
    writer.writerows([[_inert(value) for value in record.values()] for record in records(table)])
    return stream.getvalue()


def escaped(text: str, signs: str = "|*`[]") -> str:
    """Return free text on one line, with `signs` (what Markdown would read as markup) made literal."""
    line = " ".join(text.split()).replace("\\", "\\\\").replace("<", "&lt;")
    for sign in signs:
        line = line.replace(sign, f"\\{sign}")
    return line


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    ours, rest = strong(cell)
    return f"**{_inline(ours)}** {_inline(rest)}".rstrip() if cell.best else _inline(cell.text)


def _inline(text: str) -> str:
    return escaped(text, "|*`")


def _parts(table: Table, column: int) -> list[str]:
    names = [part for row in table.rows for part, _ in row[column].parts]
    return list(dict.fromkeys(names)) or [""]


def _key(table: Table, column: int, part: str) -> str:
    return f"{table.header[column]} {part}".rstrip()


def _value(cell: Cell, part: str) -> Plain:
    return dict(cell.parts).get(part) if cell.parts else cell.text


def _inert(value: Plain) -> Plain:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return round(value, 4) if isinstance(value, float) else value
