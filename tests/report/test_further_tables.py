"""Tables of ours alone (further scores, OSCR, FPR95), and which number of a column is the best."""

from difair_hpc.report.layout import Table, markdown, texts
from difair_hpc.report.rows import ResultRow
from difair_hpc.report.tables import auroc_table, fpr95_table, further_table, oscr_table
from tests.report.made import row


def test_scores_and_methods_beyond_table_1_have_a_table_of_their_own() -> None:
    rows = [row("cac", auroc={"energy": 0.5, "cac": 0.6}), row("arpl", auroc={"arpl": 0.7, "distance": 0.4})]
    table = further_table(rows)
    assert [line[0] for line in texts(table)] == ["ARPL: distance", "CAC: energy"]
    assert table.header == ("Method", "CIFAR10")
    assert texts(table)[1] == ["CAC: energy", "50.0 (n=1)"]
    assert not any("in the paper" in note.partition("Bold")[0] for note in table.notes[:1])
    assert "energy" not in markdown(auroc_table(rows))
    assert further_table([row("cac", auroc={"cac": 0.6})]).rows == ()


def test_oscr_and_fpr95_hold_ours_alone_and_only_where_results_have_them() -> None:
    scores = {"auroc": {"mos": 0.9}, "oscr": {"mos": 0.8}, "fpr95": {"mos": 0.3}}
    rows = [row(**{f"evaluation__{key}": value for key, value in scores.items()}), row(split=1, auroc={"mos": 0.9})]
    # split 1 is an older result without OSCR: one split counts
    assert texts(oscr_table(rows)) == [["DIFAIR†", "80.0 (n=1)"]]
    assert texts(fpr95_table(rows)) == [["DIFAIR†", "30.0 (n=1)"]]
    assert "known is the positive class" in fpr95_table(rows).title
    assert oscr_table(rows[1:]).rows == ()


def with_fpr95(method: str, score: str, share: float, split: int = 0) -> ResultRow:
    return row(method, split=split, auroc={score: 1 - share}, evaluation__fpr95={score: share})


def best(table: Table, column: str) -> list[str]:
    index = table.header.index(column)
    return [cells[0].text for cells in table.rows if cells[index].best]


def test_the_best_of_ours_is_bold_as_printed_and_the_lowest_fpr95() -> None:
    rows = [
        with_fpr95("difair", "mos", 0.2),
        with_fpr95("cac", "cac", 0.20004),
        with_fpr95("cross_entropy", "mos", 0.3),
    ]
    # 80.0 and 79.996 are both printed as 80.0
    assert best(auroc_table(rows), "CIFAR10") == ["CAC", "DIFAIR†"]
    assert best(fpr95_table(rows), "CIFAR10") == ["CAC", "DIFAIR†"]
    assert best(auroc_table(rows), "MNIST") == []
    assert best(auroc_table(rows[:1]), "CIFAR10") == [], "a number alone is the best of nothing"
    assert "| **80.0 (n=1)** [86.5, -6.5] |" in markdown(auroc_table(rows))
    assert "| 70.0 (n=1) [92.0, -22.0] |" in markdown(auroc_table(rows))


def test_a_number_over_fewer_splits_is_not_the_best() -> None:
    rows = [with_fpr95("difair", "mos", 0.4), with_fpr95("difair", "mos", 0.4, 1), with_fpr95("cac", "cac", 0.1)]
    rows += [with_fpr95("cross_entropy", "mos", 0.5, split) for split in (0, 1)]
    assert best(auroc_table(rows), "CIFAR10") == ["DIFAIR†"]
