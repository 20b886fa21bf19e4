"""report.html as text: nothing of a user becomes markup, numbers lead to their runs, gaps are named."""

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

from difair_hpc.report.cost import RunCost
from difair_hpc.report.html import HEAVY_BYTES, embedded, report_html, run_lines
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.rows import StageRows, StudyRows
from tests.report.made import diverged, row

EVIL = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>"""
EMPTY = Table(title="Empty", header=("a",), rows=())


def cost(signature: str, **changes: object) -> RunCost:
    """Return what an hour on two threads looks like; `changes` are fields."""
    spec = {"method.name": "difair", "benchmark.name": "cifar10", "benchmark.split": 1, "seed": 0}
    values = {
        "signature": signature,
        "spec": spec,
        "attempts": 1,
        "epochs": 600,
        "seconds": 3600.0,
        "lost_seconds": 0.0,
        "ends": (),
        "running": False,
        "started": 0.0,
        "ended": 3600.0,
        "job": "4711_3",
        "node": "node7",
        "machine": {"gpu": None, "threads": 2},
    }
    return RunCost(**{**values, **changes})  # type: ignore[arg-type]


def page(
    study: StudyRows,
    tables: Mapping[str, Table] | None = None,
    costs: Mapping[str, Sequence[RunCost]] | None = None,
) -> str:
    return report_html(study, progress=EMPTY, tables=tables or {}, pictures=(), costs=costs or {})


class Seen(HTMLParser):
    """The elements and the text of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_of_a_user_becomes_markup() -> None:
    evil = row(split=1, warnings=[EVIL], signature=EVIL, benchmark=EVIL)
    stage = StageRows(stage=EVIL, rows=(evil,), planned=1, reasons=(EVIL,), chosen=({EVIL: 1.0},), problems=(EVIL,))
    cell = Cell(text=EVIL, best=True, links=(EVIL,))
    table = Table(title=EVIL, header=(EVIL,), rows=((cell,),), notes=(EVIL,))
    taken = cost(EVIL, job=EVIL, node=EVIL, ends=(EVIL,), machine={EVIL: EVIL})
    seen = Seen(page(StudyRows(study=EVIL, stages=(stage,)), {EVIL: table}, {EVIL: [taken]}))
    assert {tag for tag, _ in seen.elements} & {"script", "img"} == set()
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert seen.text.count(EVIL) > 12


def test_a_number_leads_to_its_run_and_names_all_where_there_are_several() -> None:
    study = StudyRows(study="s", stages=(StageRows(stage="final", rows=(row(signature="a"),), planned=1),))
    cells = (Cell(text="DIFAIR"), Cell(text="90.0", links=("a",)), Cell(text="91.0", links=("a", "b"), best=True))
    text = page(study, {"table1": Table(title="T", header=("m", "x", "y"), rows=(cells,))})
    assert '<td><a href="#run-a" title="1 run: a">90.0</a></td>' in text
    assert '<td><a href="#run-a" title="2 runs: a, b"><strong>91.0</strong></a></td>' in text
    assert '<th scope="row">DIFAIR</th>' in text
    assert '<tr id="run-a">' in text
    assert '<a href="../../../runs/a/">' in text


def test_tables_1_and_2_come_first_and_searches_last() -> None:
    names = ("grid_coarse", "table1", "ranks", "table2")
    text = page(StudyRows(study="s", stages=()), {name: EMPTY for name in names})
    assert re.findall(r'id="table-(\w+)"', text) == ["table1", "table2", "ranks", "grid_coarse"]


def test_a_run_without_a_result_has_its_line_too() -> None:
    rows = [
        row(split=2, signature="done", accuracy=0.931, auroc={"mos": 0.85, "distance": 0.7}),
        diverged(signature="d"),
    ]
    costs = [
        cost("done", attempts=3, seconds=7322),
        cost("works", running=True, ended=None),
        cost("broken", ends=("preempted", "failed"), ended=None),
        cost("new", attempts=0, seconds=0.0, started=None, ended=None, job="", node=""),
    ]
    lines = {line.signature: line.texts for line in run_lines(rows, costs)}
    assert lines["done"] == (
        "DIFAIR", "cifar10", "2", "0", "completed", "600", "93.1", "mos 85.0, distance 70.0", "2h02m", "3",
        "4711_3, node7",
    )  # fmt: skip
    assert lines["d"][4:9] == ("diverged", "600", "·", "·", "·")
    assert lines["works"][4:6] == ("running", "·")
    assert lines["broken"][4] == "ended: failed"
    assert lines["new"][:5] + lines["new"][8:] == ("DIFAIR", "cifar10", "1", "0", "not begun", "·", "0", "·")


def test_dates_come_from_the_runs() -> None:
    study = StudyRows(study="s", stages=())
    costs = [cost("a", started=86400.0, ended=90061.0), cost("b", started=172800.0, ended=None)]
    begun = "The first run began on 1970-01-02 00:00 UTC; the last result is of 1970-01-02 01:01 UTC."
    assert begun in page(study, costs={"coarse": costs})
    assert "began on 1970-01-03 00:00 UTC; there is no result yet." in page(study, costs={"coarse": costs[1:]})


def test_an_empty_study_says_what_is_missing() -> None:
    text = page(StudyRows(study="s", stages=(StageRows(stage="coarse", rows=(), planned=4),)))
    for words in (
        "No run has begun yet.",
        "Nothing is chosen yet.",
        "Nothing can be drawn yet",
        "No run gave a warning.",
    ):
        assert words in text
    assert "nothing had to be chosen" in page(StudyRows(study="s", stages=()))


def test_a_heavy_drawing_is_embedded_as_png(tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "a.svg"]
    for path in files:
        path.write_bytes(b"x" * HEAVY_BYTES)
    assert embedded("a", "A", files).source.startswith("data:image/svg+xml;base64,eHh4")
    files[1].write_bytes(b"x" * (HEAVY_BYTES + 1))
    assert embedded("a", "A", files).source.startswith("data:image/png;base64,eHh4")
    assert embedded("a", "A", files[:1]).source.startswith("data:image/png")
