"""Words agree with their number, everywhere that the package counts something."""

import ast
import re
from pathlib import Path

import pytest

import difair_hpc
from difair_hpc.words import counted

COUNTED = "epochs runs trials studies jobs attempts faults images lines classes points minutes hours steps GPU-hours"
NO_COUNTS = {
    *("in_words(protocol)", "side", "MIXED", "joined(other)", "joined(sorted({str(row.held_out) for row in done}))"),
    *("'s' * (len(names) == 1)", "hours", "classes", "len(rows)", "len(signatures)", "len(trials)"),
    "protocol.evaluation_epochs",
}
"""Expressions of the package that are no counts, or counts that are two at least where they are said."""


@pytest.mark.parametrize(
    ("count", "noun", "verb", "text"),
    [
        (0, "run", "", "0 runs"),
        (1, "run", "", "1 run"),
        (2, "run", "are", "2 runs are"),
        (1, "run", "are", "1 run is"),
        (1, "training", "stand", "1 training stands"),
        (1, "study", "have", "1 study has"),
        (3, "study", "", "3 studies"),
        (2, "key", "", "2 keys"),
        (2, "class", "were", "2 classes were"),
        (2, "epoch", "", "2 epochs"),
        (2, "batch", "", "2 batches"),
    ],
)
def test_a_noun_and_its_verb_agree_with_their_number(count: int, noun: str, verb: str, text: str) -> None:
    assert counted(count, noun, verb) == text


@pytest.mark.parametrize(("hours", "text"), [(0.96, "1 GPU-hour"), (1.4, "1 GPU-hour"), (0.4, "0 GPU-hours")])
def test_what_is_rounded_agrees_with_what_is_shown(hours: float, text: str) -> None:
    assert counted(hours, "GPU-hour", form=".0f") == text


def test_no_message_puts_many_behind_a_number_that_may_be_one() -> None:
    """A number in an f-string, then a plural: `counted` says it instead, or the number is a constant above 1."""
    plural = re.compile(rf" (searched )?({'|'.join(COUNTED.split())})\b")
    found = []
    for path in sorted(Path(difair_hpc.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                for value, text in zip(node.values, node.values[1:], strict=False):
                    is_text = isinstance(text, ast.Constant) and plural.match(str(text.value))
                    if isinstance(value, ast.FormattedValue) and is_text and not _is_more_than_one(value.value):
                        found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert "\n".join(found) == ""


def _is_more_than_one(value: ast.expr) -> bool:
    text = ast.unparse(value)
    return text.rpartition(".")[2].isupper() or text in NO_COUNTS
