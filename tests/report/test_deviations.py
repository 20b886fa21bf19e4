"""What is said of runs that leave the paper's protocol, and of what the paper leaves open."""

from difair_hpc.config import build_run
from difair_hpc.report.deviations import OPEN, deviation_table, open_table, paper_values
from difair_hpc.report.layout import texts
from difair_hpc.report.results import row_from_result
from difair_hpc.report.rows import ResultRow
from tests.report.made import diverged, result, row


def composed(signature: str, **words: object) -> ResultRow:
    """Return the row of a run whose settings the shipped files give for these words."""
    spec = build_run({key.replace("__", "."): value for key, value in words.items()}, {}).to_dict()
    made = result(signature=signature, epochs=spec["protocol"]["epochs"])
    return row_from_result({**made, "spec": spec})


def found(*rows: ResultRow) -> dict[str, list[str]]:
    return {line[0]: line[1:] for line in texts(deviation_table(rows)) if line[0] != "augmentation"}


def test_the_shipped_protocol_on_the_papers_benchmarks_deviates_in_nothing() -> None:
    names = ("mnist", "svhn", "cifar10", "cifar+10", "cifar+50", "tinyimagenet", "cifar10-all")
    assert found(*(composed(name, benchmark=name, protocol="paper") for name in names)) == {}


def test_a_short_run_on_digits_is_told_apart() -> None:
    table = deviation_table([composed("a", benchmark="digits", protocol="short"), composed("b", benchmark="mnist")])
    lines = {line[0].text: line for line in table.rows}
    assert [cell.text for cell in lines["protocol.epochs"][1:4]] == ["30", "600", "1"]
    assert "NOT comparable" in lines["protocol.epochs"][4].text.replace("not", "NOT")
    assert lines["protocol.epochs"][3].links == ("a",)
    assert [cell.text for cell in lines["benchmark.name"][1:3]] == ["digits", "one of the paper's"]
    assert {"protocol.batch_size", "protocol.schedule_unit", "network.batch_norm_momentum"} <= set(lines)
    assert "protocol.warmup_epochs" not in lines, "a sixtieth of all epochs, as in the paper"


def test_partial_data_and_a_mirror_are_named() -> None:
    words = {"benchmark": "svhn", "data__verify": False, "protocol__flip": True}
    lines = found(composed("a", **words), composed("b", **words))
    assert lines["benchmark.verify"][:3] == ["no", "yes", "2"]
    assert "images may be missing" in lines["benchmark.verify"][3]
    assert lines["protocol.flip"][:3] == ["yes", "no", "2"]


def test_a_setting_without_a_sentence_of_its_own_is_still_named() -> None:
    assert found(row(spec__protocol__momentum=0.8))["protocol.momentum"] == [
        "0.8", "0.9", "1", "Not the value of the paper's protocol.",
    ]  # fmt: skip


def test_a_diverged_run_does_not_count_as_a_short_one() -> None:
    assert "protocol.epochs" not in found(diverged(epochs=7))


def test_a_run_from_before_there_was_augmentation_had_none() -> None:
    lines = found(row(benchmark="svhn"))
    assert lines["protocol.augment"][:2] == ["none", "randaugment"]
    assert texts(deviation_table([])) == []
    assert deviation_table([]).notes == ("No run has finished yet.",)


def test_every_open_point_stands_with_the_values_used() -> None:
    table = open_table([composed("a", benchmark="mnist"), composed("b", benchmark="mnist", network__dropout="channel")])
    used = {line[0]: line[2] for line in texts(table)}
    assert len(used) == len(OPEN)
    assert used["Kind of dropout"] == "channel, element"
    assert used["Initial weights"] == "·"
    assert {key for _, _, key in OPEN if key} <= set(paper_values("mnist"))


def test_other_arithmetic_than_the_papers_is_named() -> None:
    lines = found(row(hardware={"precision": "bfloat16"}))
    assert lines["precision"][:3] == ["bfloat16", "float32", "1"]
    assert "Rounding differs" in lines["precision"][3]
    assert "precision" not in found(row(hardware={"precision": "float32"}))
