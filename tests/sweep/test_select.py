"""Which runs a user means."""

import pytest

from difair_hpc.errors import UnknownKey, UserError
from difair_hpc.sweep.select import RunRow, select

ROWS = [
    RunRow(index=1, study="digits", stage="coarse", signature="11aa", parameters={"method.alpha": 2}, state="done"),
    RunRow(
        index=2, study="digits", stage="coarse", signature="4711", parameters={"method.alpha": 10.0}, state="failed"
    ),
    RunRow(
        index=3,
        study="digits",
        stage="final",
        signature="bb22",
        parameters={"benchmark": "mnist", "method": "cac", "split": 0},
        state="running",
        job="4711_0",
        node="v100-1",
    ),
    RunRow(
        index=4,
        study="paper",
        stage="final",
        signature="11aa",
        parameters={"benchmark": "mnist", "method": "difair", "split": 1},
        state="done",
        job="4711_1",
    ),
]


@pytest.mark.parametrize(
    ("words", "signatures"),
    [
        ([], ["11aa", "4711", "bb22"]),
        (["2"], ["4711"]),
        (["bb"], ["bb22"]),
        (["4711_0"], ["bb22"]),
        (["4711"], ["bb22", "11aa"]),  # a job is meant before a signature
        (["47"], ["4711"]),
        (["paper"], ["11aa"]),
        (["2", "3"], ["4711", "bb22"]),
        (["alpha=10"], ["4711"]),
        (["method.alpha=2.0"], ["11aa"]),
        (["state=FAILED"], ["4711"]),
        (["stage=final", "state=running"], ["bb22"]),
        (["digits", "state=done"], ["11aa"]),
        (["node=v100-1"], ["bb22"]),
        (["benchmark=mnist", "method=cac"], ["bb22"]),
    ],
)
def test_words_mean_runs(words: list[str], signatures: list[str]) -> None:
    assert [row.signature for row in select(words, ROWS)] == signatures


@pytest.mark.parametrize("word", ["99", "zz", "alpha=3", "state=lost", "alpha=ten"])
def test_a_word_that_fits_no_run_is_named(word: str) -> None:
    with pytest.raises(UserError, match=word):
        select([word], ROWS)


def test_a_key_that_no_run_has_is_refused_with_those_they_have() -> None:
    with pytest.raises(UnknownKey, match=r"unknown key colour; valid here: alpha, benchmark, job, method, node, split"):
        select(["colour=red"], ROWS)
