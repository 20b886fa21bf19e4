"""The paper's numbers as literals: spot checks against the printed tables, and their shape."""

from difair_hpc.osr.spec import METHOD_SPECS, DifairSpec
from difair_hpc.report import paper


def line(table: paper.PaperTable, name: str) -> paper.PaperRow:
    return next(row for row in table.rows if row.name == name)


def test_table_1_lines_stand_in_the_papers_order() -> None:
    names = [row.name.split(" (")[0] for row in paper.TABLE_1.rows if row.means or row.method == "difair_std"]
    assert names[:5] == ["MSP", "MLS†", "MLS†", "CELR", "CAC"]
    assert names[5:] == ["CAC†", "DCHS", "(ARPL+CS)+", "DIFAIR", "DIFAIR†", "DIFAIR-std", "DIFAIR-std†"]


def test_table_1_numbers() -> None:
    assert list(line(paper.TABLE_1, "DIFAIR†").means.values()) == [99.5, 94.8, 86.5, 86.8, 86.1, 69.3]
    assert list(line(paper.TABLE_1, "CELR").means.values()) == [99.2, 87.1, 57.1, 67.2, 69.3, 54.3]
    assert line(paper.TABLE_1, "CAC†").means["svhn"] == 96.9
    assert line(paper.TABLE_1, "DCHS (Cevikalp et al., 2023)").means["cifar+50"] == 98.5


def test_the_sum_of_every_table_guards_each_literal() -> None:
    # MSP 530.6, MLS 540.3, Vaze 567.4, CELR 434.2, CAC 513.3, CAC† 517.6, DCHS 567.3, ARPL 567.2, DIFAIR 489.7, † 523.0
    assert round(sum(sum(row.means.values()) for row in paper.TABLE_1.rows), 1) == 5250.6
    # cross-entropy 547.2, CAC 552.7, DIFAIR 552.8
    assert round(sum(sum(row.means.values()) for row in paper.TABLE_2.rows), 1) == 1652.7
    # 4.9 + 3.9 + 4.2
    assert round(sum(sum(row.spreads.values()) for row in paper.TABLE_2.rows), 1) == 13.0


def test_quoted_lines_have_no_method_and_all_others_a_known_one() -> None:
    for table in (paper.TABLE_1, paper.TABLE_2):
        for row in table.rows:
            assert (row.method is None) == ("et al." in row.name)
            assert row.method is None or row.method in {*METHOD_SPECS, *paper.HEADLINE}


def test_every_method_has_a_name_and_a_score_to_be_compared_by() -> None:
    assert set(paper.HEADLINE) == set(paper.METHODS) >= set(METHOD_SPECS)
    lines = {(row.method, row.score) for row in paper.TABLE_1.rows}
    assert {*paper.HEADLINE.items()} <= lines


def test_the_papers_choice_is_the_default_of_the_method() -> None:
    assert {key: getattr(DifairSpec(), key) for key in paper.CHOICE} == paper.CHOICE
