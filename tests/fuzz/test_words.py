"""Words and files that nobody should write: every command answers with a message and leaves the folder as it was."""

import random
from collections import Counter
from pathlib import Path

import pytest

from difair_hpc.errors import Failure
from tests.fuzz.cases import SCALE, said, tree
from tests.fuzz.words import line, with_file
from tests.marks import USES_MLFLOW

pytestmark = [  # commands that reach MLflow do so in this process
    *USES_MLFLOW,
]


def refused(*_: object) -> None:
    raise OSError("not from a test")


def left_out(*_: object, **__: object) -> None:
    raise Failure("what would take minutes, or never return, is left out")


@pytest.mark.parametrize("part", range(2))
def test_odd_words_end_in_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("difair_hpc.cli.ui.serve", left_out)
    monkeypatch.setattr("difair_hpc.drill.drill.executed", left_out)
    monkeypatch.setattr("difair_hpc.data.catalogue._fetch", refused)
    (tmp_path / "kept").write_text("by the user")
    codes: Counter[int] = Counter()
    for number in range(100 * SCALE):
        words = line(random.Random(f"{part} {number}"))
        case = said(*words)
        assert case.sane, (number, case)
        codes[case.code] += 1
    assert codes[2] > codes[0] > 0
    assert (tmp_path / "kept").read_text() == "by the user"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cases"), [("sweep", 50), ("group", 50), ("profile", 50)])
def test_damaged_sweeps_groups_and_profiles_end_in_a_message(tmp_path: Path, kind: str, cases: int) -> None:
    codes: Counter[int] = Counter()
    for number in range(cases * SCALE):
        words = with_file(random.Random(f"{kind} {number}"), tmp_path, kind)
        before = tree(tmp_path)
        case = said(*words, "root=outputs")
        assert case.sane, (number, case)
        assert case.code != 1, "it is for the user to correct"
        assert tree(tmp_path) == before, (number, case)
        codes[case.code] += 1
    assert codes[2] > cases / 4


def test_names_that_the_terminal_cannot_show_are_printed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFAIR_ROOT", f"{tmp_path}/\udcff")
    case = said("status")
    assert "no runs in" in case.out
    assert case.sane
