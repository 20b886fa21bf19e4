"""Tables as LaTeX: literal signs, bold, notes, and whether pdflatex takes all of it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difair_hpc.report.latex import latex
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.tables import accuracy_table, auroc_table
from tests.report.made import assert_accepted, row
from tests.waiting import HANG_SECONDS


def table(*texts: str, best: bool = False, notes: tuple[str, ...] = ()) -> Table:
    cells = tuple(Cell(text=text, best=best) for text in texts)
    return Table(title="T", header=tuple("ab"[: len(texts)]), rows=(cells,), notes=notes)


def body(text: str, *, best: bool = False) -> str:
    return latex(table(text, best=best), label="x").partition("\\midrule\n")[2].partition(" \\\\\n")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a\b_c&d%e#f$g{h}", r"a\textbackslash{}b\_c\&d\%e\#f\$g\{h\}"),
        ("~^<>|", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"),
        ("96.0 ± 1.4 (n=2)", r"96.0 $\pm$ 1.4 (n=2)"),
        ("DIFAIR†", r"DIFAIR$^\dagger$"),
        ("· –", r"$\cdot$ --"),
        ("-0.3 of cac-10, 1e-4", "$-$0.3 of cac-10, 1e-4"),
        ('"a"', "''a''"),
        ("two\nlines\tMüller", "two lines Müller"),
        ("测\x00", "??"),
        ("", ""),
    ],
)
def test_signs_are_literal(text: str, expected: str) -> None:
    assert body(text) == expected


def test_the_best_is_bold_without_the_papers_number_beside_it() -> None:
    assert body("96.0 ± 1.4 [95.8, +0.2]", best=True) == r"\shortstack[r]{\textbf{96.0 $\pm$ 1.4}\\{}[95.8, +0.2]}"
    assert body("96.0 [95.8]") == r"\shortstack[r]{96.0\\{}[95.8]}"
    assert body("96.0", best=True) == r"\textbf{96.0}"


@pytest.mark.parametrize("title", ["Table 1: AUROC", "AUROC", "Table 12: AUROC"])
def test_a_caption_leaves_the_number_to_latex(title: str) -> None:
    assert "\\caption{AUROC}" in latex(Table(title=title, header=("a",), rows=()), label="x")


def test_notes_stand_below_and_an_empty_table_keeps_its_form() -> None:
    made = latex(table("1", "2", notes=("100 % of_it",)), label="tab:x")
    assert made.index("\\end{tabular}") < made.index("100 \\% of\\_it\\par") < made.index("\\end{table}")
    assert "\\label{tab:x}" in made
    assert "\\begin{tabular}{lr}" in made
    assert "flushleft" not in latex(Table(title="T", header=("a",), rows=()), label="x")


@given(st.text(max_size=40))
def test_whatever_stands_in_a_cell_there_is_one_cell(text: str) -> None:
    made = body(text)
    bare = made.replace("\\\\{}", "").replace("\\textbackslash{}", "")
    assert bare.replace("\\&", "").count("&") == 0
    assert bare.replace("\\%", "").count("%") == 0
    assert bare.replace("\\{", "").count("{") == bare.replace("\\}", "").count("}")


def example() -> Table:
    rows = [row(split=k, accuracy=0.9, auroc={"distance": 0.7, "mos": 0.8}, warnings=["50 % of a_b"]) for k in (0, 1)]
    return auroc_table([*rows, row("arpl", auroc={"arpl": 0.6})])


def test_accepted_text() -> None:
    assert_accepted("table1.tex", latex(example(), label="tab:table1"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_pdflatex_sets_every_sign_and_table(tmp_path: Path) -> None:
    signs = "".join(map(chr, [*range(32, 0x180), 0x2013, 0x2014, 0x2020, 0x2026, 0x2264, 0x2265, 0x6D4B]))
    tables = [example(), accuracy_table([]), table(signs, "[x] [y]", best=True, notes=(" ".join(signs),))]
    parts = [latex(made, label=f"tab:{number}") for number, made in enumerate(tables)]
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "a.tex").write_text(f"{head}{''.join(parts)}\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=HANG_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:]
    log = (tmp_path / "a.log").read_text(errors="replace")
    assert "Missing character" not in log
    assert "Overfull" not in log
    assert (tmp_path / "a.pdf").stat().st_size > 1000
