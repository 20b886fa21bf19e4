"""Tables as Markdown, CSV and records: escaping and shapes."""

import csv as csv_format
import io

from difair_hpc.report.layout import Cell, Table, csv, markdown, records, texts


def table(*names: str, notes: tuple[str, ...] = ()) -> Table:
    rows = tuple((Cell(text=name), Cell(text="1.5", parts=(("mean", 1.5), ("n", 3)))) for name in names)
    return Table(title="T", header=("Name", "Value"), rows=rows, notes=notes)


def test_markdown_is_a_heading_a_table_and_notes() -> None:
    assert markdown(table("a", notes=("Careful.",)), level=3) == (
        "### T\n\n| Name | Value |\n| --- | ---: |\n| a | 1.5 |\n\n- Careful.\n"
    )


def test_markdown_without_notes_ends_with_the_table() -> None:
    assert markdown(table("a")).endswith("| a | 1.5 |\n")


def test_a_bar_or_line_break_in_a_name_does_not_break_the_table() -> None:
    assert "| a\\|b c | 1.5 |" in markdown(table("a|b\nc"))


def test_markup_in_notes_is_literal() -> None:
    text = markdown(table("a", notes=("x | <b> *y*\n# [z]",)))
    assert text.endswith("- x \\| &lt;b> \\*y\\* # \\[z\\]\n")


def test_csv_has_one_column_per_part() -> None:
    assert csv(table("a")) == "Name,Value mean,Value n\na,1.5,3\n"


def test_csv_makes_formula_like_names_inert_and_leaves_numbers() -> None:
    cells = [[Cell(text=name), Cell(text="", parts=(("", -2.5),))] for name in ("=1+1", "+a", "-b", "@c", "\td", "e=f")]
    made = csv(Table(title="T", header=("Name", "=x"), rows=tuple(tuple(row) for row in cells)))
    read = list(csv_format.reader(io.StringIO(made)))
    assert read[0] == ["Name", "'=x"]
    assert [row[0] for row in read[1:]] == ["'=1+1", "'+a", "'-b", "'@c", "'\td", "e=f"]
    assert {row[1] for row in read[1:]} == {"-2.5"}


def test_csv_quotes_commas_and_quotes() -> None:
    assert next(iter(csv_format.DictReader(io.StringIO(csv(table('a,"b"'))))))["Name"] == 'a,"b"'


def test_records_and_texts_are_plain() -> None:
    assert records(table("a")) == [{"Name": "a", "Value mean": 1.5, "Value n": 3}]
    assert texts(table("a")) == [["a", "1.5"]]


def test_an_empty_table_keeps_its_header() -> None:
    empty = Table(title="T", header=("Name", "Value"), rows=())
    assert csv(empty) == "Name,Value\n"
    assert markdown(empty) == "## T\n\n| Name | Value |\n| --- | ---: |\n"
