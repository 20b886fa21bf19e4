"""The ledger of a study on disk: what was recorded once stands, and half a line harms nothing."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.sweep.ledger import Trial, ledger, studies

WHOLE = {
    "search": "grid",
    "planned": 1,
    "complete": True,
    "book": "coarse-123456",
    "reasons": [],
    "chosen": [],
    "axes": [],
    "objectives": ["closed_set_accuracy"],
    "sampler": "tpe",
}
"""What a stage says of itself in study.json beside its name and its trials."""


def made(number: int, signature: str = "abc", alpha: float = 1.5) -> Trial:
    return Trial(number=number, parameters={"method.alpha": alpha, "split": 2}, signature=signature)


def test_trials_come_back_as_they_were_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    book = ledger(tmp_path, "digits")
    book.path.mkdir(parents=True)
    for number in (1, 0):
        book.add("coarse", made(number, alpha=0.1 + 0.2))
    assert book.trials("coarse") == [made(0, alpha=0.1 + 0.2), made(1, alpha=0.1 + 0.2)]
    assert book.trials("fine") == []


def test_the_first_line_of_a_number_counts(tmp_path: Path) -> None:
    book = ledger(tmp_path, "digits")
    book.path.mkdir(parents=True)
    book.add("coarse", made(0, "first"))
    book.add("coarse", made(0, "second"))
    assert book.trials("coarse") == [made(0, "first")]


def test_a_torn_line_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    book = ledger(tmp_path, "digits")
    book.path.mkdir(parents=True)
    book.add("coarse", made(0))
    with (book.path / "coarse.jsonl").open("a") as file:
        file.write('{"number": 1, "parame')
    assert book.trials("coarse") == [made(0)]
    book.add("coarse", made(1))
    assert book.trials("coarse") == [made(0), made(1)]


def test_only_described_studies_are_listed(tmp_path: Path) -> None:
    assert studies(tmp_path) == []
    for name in ("zebra", "ape"):
        ledger(tmp_path, name).path.mkdir(parents=True)
        assert ledger(tmp_path, name).description() is None
    ledger(tmp_path, "zebra").describe({"study": "zebra", "stages": []})
    assert studies(tmp_path) == ["zebra"]
    assert ledger(tmp_path, "zebra").description() == {"study": "zebra", "stages": []}
    ledger(tmp_path, "ape").describe({"study": "ape", "stages": []})
    assert studies(tmp_path) == ["ape", "zebra"]


@pytest.mark.parametrize("key", sorted(WHOLE))
@pytest.mark.parametrize("words", [["status"], ["why", "1"], ["report"], ["logs", "1"], ["sync", "tracking_uri=none"]])
def test_a_description_that_lacks_something_is_read_all_the_same(
    tmp_path: Path, key: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    trial = {"number": 0, "signature": "0123456789ab", "parameters": {"method.alpha": 6}}
    stage = {"name": "coarse", "trials": [trial], **{name: value for name, value in WHOLE.items() if name != key}}
    book = ledger(tmp_path, "mini")
    book.path.mkdir(parents=True)
    book.describe({"study": "mini", "stages": [stage]})
    assert main([*words, f"root={tmp_path}"]) in (0, 1, 2)
    assert "internal error" not in capsys.readouterr().err
