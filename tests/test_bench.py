"""What the measurements compute: the trials' durations, the bound, gaps on a slot, and the place of a table."""

import pytest

from bench.durations import LONGEST, SHORTEST, SLOTS, TRIALS, durations, list_schedule, lower_bound
from bench.makespan import measured
from bench.tables import HEADING, Table, markdown, replaced, text

TABLE = Table(name="a", title="A", header=("", "s"), rows=(("one", "1.0"), ("three", "10.0")), notes=("why",))


def test_durations_are_the_same_on_every_machine() -> None:
    seconds = durations()
    assert len(seconds) == TRIALS
    assert seconds[:4] == [22.1, 16.4, 8.1, 6.6]
    assert all(SHORTEST <= duration <= LONGEST for duration in seconds)
    assert sum(duration < 12 for duration in seconds) > TRIALS / 2 > sum(duration > 30 for duration in seconds) > 2
    assert lower_bound(seconds, SLOTS) < list_schedule(seconds, SLOTS)


def test_list_scheduling_by_hand() -> None:
    # Two slots: 3 and 1 start at 0, 2 at 1, 4 at 3 when both are free.
    assert list_schedule([3, 1, 2, 4], 2) == 7
    assert lower_bound([3, 1, 2, 4], 2) == 5
    assert lower_bound([9, 1, 2], 2) == 9


def test_makespan_and_gaps_come_from_what_trials_recorded() -> None:
    trials = [
        {"slot": "b", "started": 12.0, "ended": 20.0},
        {"slot": "a", "started": 18.0, "ended": 31.0},
        {"slot": "a", "started": 11.0, "ended": 15.0},
        {"slot": "b", "started": 21.0, "ended": 25.0},
    ]
    side = measured("mine", 10.0, trials)
    assert (side.makespan, side.begins) == (21.0, 1.0)
    assert side.gap == pytest.approx(2.0)


def test_a_table_aligns_numbers_to_the_right() -> None:
    assert text(TABLE).splitlines() == ["A", "          s", "one     1.0", "three  10.0", "why"]


def test_a_table_replaces_its_own_section_only() -> None:
    other = Table(name="b", title="B", header=("", "s"), rows=(("two", "2"),), notes=())
    document = replaced(replaced(HEADING, TABLE), other)
    newer = Table(name="a", title="A", header=("", "s"), rows=(("one", "0.5"),), notes=("why",))
    again = replaced(document, newer)
    assert again == HEADING + "\n" + markdown(newer) + "\n" + markdown(other)
    assert replaced(again, newer) == again
