"""The search's list and the list of runs: order, remarks, accepted text."""

from dataclasses import replace

from difair_hpc.report.grid import grid_table, runs_table
from difair_hpc.report.layout import csv, markdown, texts
from tests.report.made import assert_accepted, diverged, row, searched

SEARCH = (
    searched(10, 0.4, 0.952, 0.91),
    searched(8, 0.4, 0.95, 0.9),
    searched(2, 0.6, 0.1, 1.0),
    searched(1, 0.5, None),
    searched(8, 1 / 3, 0.94, 0.8),
)


def test_the_search_is_listed_best_first_with_remarks() -> None:
    table = grid_table(SEARCH[::-1], [{"alpha": 10.0, "radius_coefficient": 0.4}])
    shown = [(line[0], line[1], line[2], line[4], line[5], line[6]) for line in texts(table)]
    # radius: coefficient * sqrt(10) * alpha, so 0.4 * 3.1623 * 10 = 12.649 and so on
    assert shown == [
        ("10", "12.65", "0.4", "95.20", "91.00", "chosen"),
        ("8", "10.12", "0.4", "95.00", "90.00", ""),
        ("8", "8.433", "0.3333", "94.00", "80.00", ""),
        ("2", "3.795", "0.6", "10.00", "100.00", "overlap"),
        ("1", "1.581", "0.5", "·", "·", "overlap, diverged"),
    ]


def test_a_chosen_value_of_an_axis_is_not_called_a_chosen_run() -> None:
    remarks = {line[:3]: line[6] for line in map(tuple, texts(grid_table(SEARCH, [{"alpha": 8.0}, {"alpha": 2.0}])))}
    assert remarks["8", "10.12", "0.4"] == remarks["8", "8.433", "0.3333"] == "alpha chosen"
    assert remarks["2", "3.795", "0.6"] == "alpha chosen, overlap"
    assert remarks["10", "12.65", "0.4"] == ""


def test_a_choice_among_alphas_alone_is_a_run() -> None:
    rows = [searched(alpha, 0.4, 0.9) for alpha in (2, 6)]
    assert [line[6] for line in texts(grid_table(rows, [{"alpha": 6.0}]))] == ["", "chosen"]


def test_runs_without_hyperspheres_are_not_part_of_the_search_list() -> None:
    table = grid_table([row("cac")])
    assert table.rows == ()
    assert table.notes == ("No run of this search has finished yet.",)


def test_the_runs_are_listed_with_what_they_took() -> None:
    shared = replace(row(split=1, weights_sha256="w"), trained_as="cifar10 split 0")
    rows = [shared, row(weights_sha256="w", seconds=90), diverged("cac")]
    table = runs_table(rows)
    # 12.3 seconds are 0.2 minutes
    assert texts(table) == [
        ["CAC", "CIFAR10", "0", "0", "600", "0.2", "1", "cac-cifar10-0-0-600, diverged"],
        ["DIFAIR", "CIFAR10", "0", "0", "600", "1.5", "1", "difair-cifar10-0-0-600"],
        ["DIFAIR", "CIFAR10", "1", "0", "600", "0.2", "1", "difair-cifar10-1-0-600, trained as cifar10 split 0"],
    ]
    assert any(note.startswith("2 trainings stand behind 3 results") for note in table.notes)
    assert not any("trainings" in note for note in runs_table([row(), row(split=1)]).notes)


def test_accepted_texts() -> None:
    table = grid_table(SEARCH, [{"alpha": 10.0, "radius_coefficient": 0.4}])
    assert_accepted("grid.md", markdown(table))
    assert_accepted("grid.csv", csv(table))
