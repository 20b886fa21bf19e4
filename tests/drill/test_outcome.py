"""Differences name what is not the same; the table counts what was survived, lost and waited for."""

import dataclasses

from difair_hpc.drill.outcome import Record, differences, table

RECORD = Record(number=1, kind="kill", run="ab", what="", time=0.0, held=0.0, seconds=4.0, lost=1)


def test_equal_facts_do_not_differ() -> None:
    assert differences({"run ab: epochs": "3"}, {"run ab: epochs": "3"}) == []


def test_what_is_missing_added_or_changed_is_named() -> None:
    found = differences({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert found == [
        "b: 2 undisturbed, 9 in the drill",
        "c: 3 undisturbed, nothing in the drill",
        "d: nothing undisturbed, 4 in the drill",
    ]


def test_the_table_has_a_row_for_each_kind_that_came_and_one_for_all() -> None:
    records = [
        RECORD,
        dataclasses.replace(RECORD, seconds=10.0, lost=0),
        dataclasses.replace(RECORD, seconds=5.0, lost=0, problem="it never came back"),
        dataclasses.replace(RECORD, kind="disk", seconds=1.0, lost=2),
    ]
    lines = table(records, {"disk": "disk full", "kill": "SIGKILL", "term": "SIGTERM"})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2:] == [
        ["`disk` disk full", "1", "1", "2", "2.00", "1.0", "1.0"],
        ["`kill` SIGKILL", "3", "2", "1", "0.33", "5.0", "10.0"],
        ["all", "4", "3", "2", "0.75", "4.5", "10.0"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_a_drill_without_faults_has_a_header_only() -> None:
    assert len(table([], {"kill": "SIGKILL"})) == 2
