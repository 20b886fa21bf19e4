"""A table of the report as LaTeX: the booktabs package and nothing else."""

import re

from difair_hpc.report.layout import Cell, Table, strong

# fmt: off
_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "±": r"$\pm$", "†": r"$^\dagger$",
    "·": r"$\cdot$", "–": "--", "—": "---", "…": r"\dots{}", "×": r"$\times$", "≥": r"$\ge$", "≤": r"$\le$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
# fmt: on

_NUMBER = re.compile(r"^Table \d+: ")
"""What LaTeX puts before a caption by itself."""


def latex(table: Table, *, label: str) -> str:
    r"""Return the table as a float with caption, booktabs rules and the notes in small type below.

    Our number and the paper's stand on two lines of a cell; a table that is still too wide reaches into both margins.

    Args:
        table: The table.
        label: What \ref finds it by, such as tab:table1; letters, digits and :-_ only.
    """
    lines = [" & ".join(_text(name) for name in table.header), *(" & ".join(map(_cell, row)) for row in table.rows)]
    header, *body = [f"{line} \\\\" for line in lines]
    notes = [f"{_text(note)}\\par" for note in table.notes]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_text(_NUMBER.sub('', table.title))}}}\\label{{{label}}}",
            "\\makebox[\\textwidth]{%",
            f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            *("\\toprule", header, "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}}",
            *(["\\begin{flushleft}\\tiny", *notes, "\\end{flushleft}"] if notes else []),
            "\\end{table}\n",
        ]
    )


def _cell(cell: Cell) -> str:
    ours, rest = map(_text, strong(cell))
    first = f"\\textbf{{{ours}}}" if cell.best else ours
    return f"\\shortstack[r]{{{first}\\\\{{}}{rest.strip()}}}" if rest else first


def _text(text: str) -> str:
    """Return free text on one line with LaTeX's signs made literal; ? stands for what pdflatex cannot set as it is."""
    made = "".join(_SIGNS.get(sign, sign if _settable(sign) else "?") for sign in " ".join(text.split()))
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", made)


def _settable(sign: str) -> bool:
    return sign.isascii() and sign.isprintable() or ("À" <= sign <= "ÿ" and sign not in "ÐðÞþ÷")
