"""What the measurements compute: the trials' durations, the bound, gaps on a slot, and the place of a table."""

from pathlib import Path

import pytest

from bench import augment, soak, train
from bench import cell as cells
from bench.durations import LONGEST, SHORTEST, SLOTS, TRIALS, durations, list_schedule, lower_bound
from bench.makespan import measured
from bench.tables import HEADING, Table, markdown, replaced, text
from difair_hpc.runs.folder import RunFolder

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


def test_augmentations_are_measured_beside_each_other_and_compared_with_torchvisions() -> None:
    speeds = augment.measure(2, 8, turns=1)
    assert {*augment.OURS, *augment.TORCHVISION} <= set(speeds)
    assert all(speed > 0 for speed in speeds.values())
    found = augment.table({(128, 32): {"randaugment": 1234.0} | dict(zip(augment.TORCHVISION, (50, 100), strict=True))})
    assert found.header == ("", "ours, randaugment", "torchvision, tensors", "torchvision, PIL images")
    assert found.rows == (("128 of 32x32", "1,234 (12.3)", "50 (0.5)", "100 (1.0)"),)


CONVOLUTIONS = (
    (3, 64, 32), (64, 64, 32), (64, 128, 16), (128, 128, 16), (128, 128, 16),
    (128, 128, 8), (128, 128, 8), (128, 128, 8), (128, 128, 4), (128, 30, 4),
)  # fmt: skip
"""Of VGG32 with 6 known classes and 5 features each: channels in and out, height and width of the output."""

CELL = {
    "precision": "bfloat16", "images": 100, "operations_per_image": 1e9, "peak": 4e11, "evaluated": 1500.4,
    "turns": {"whole": [1.0, 2.0, 1.0], "bare": [0.9, 1.0, 0.8]},
    "held": 0.002, "durable": 0.05, "restored": 0.01, "resumed": 7.25, "memory": 1.5e9,
}  # fmt: skip


def test_training_is_shown_as_medians_over_turns_and_a_side_that_had_none_as_a_dash() -> None:
    found = train.table({(8, 128): {**CELL, "peak": 2e11}, (32, 128): CELL})
    assert found.header == ("", "8 px, batch 128", "32 px, batch 128")
    shown = {name: last for name, _, last in found.rows}
    assert shown["whole training (images/s)"] == "100"
    assert shown["bare step (images/s)"] == "111"  # 100 / 0.9
    assert shown["whole training : bare step"] == "0.800"  # of 0.9, 0.5 and 0.8
    assert shown["as a user would write it (images/s)"] == "–"
    assert shown["bare step (10^12 operations/s, share of peak)"] == "0.11 (28 %)"  # 111 of 400, in 10^9
    assert shown["checkpoint: until it is on disk (ms)"] == "50"
    assert shown["peak memory (GB)"] == "1.50"
    assert "100 at 8 px, 100 at 32 px" in text(found)


@pytest.mark.slow
@pytest.mark.heavy("bench")
@pytest.mark.timeout(1800)  # many processes that import much: a busy machine needs minutes
def test_a_column_of_the_training_table_is_measured(tmp_path: Path) -> None:
    """A real run of 16 images, so little that the figures mean nothing."""
    cell = train.measure(tmp_path, 32, 8, 16, 0.0)
    turns = cell["turns"]
    assert set(turns) == {"whole", "bare", "written"}
    assert len(turns["whole"]) == len(turns["bare"]) == len(turns["written"]) >= cells.LEAST_TURNS
    # Twice the multiplications of all convolutions, forward and in both gradients, but for the one of the pixels.
    forward = 2 * 9 * sum(i * o * s * s for i, o, s in CONVOLUTIONS)
    assert cell["operations_per_image"] == 3 * forward - 2 * 9 * 3 * 64 * 32 * 32
    assert all(cell[name] > 0 for name in ("peak", "held", "durable", "restored", "evaluated", "resumed"))
    assert cell["memory"] > 1e8
    assert not any("–" in row[1:] for row in train.table({(32, 8): cell}).rows)
    (run,) = (tmp_path / "runs").iterdir()
    assert len(RunFolder(run).points()) > cells.LEAST_TURNS


def test_the_soak_tells_what_grew_from_row_to_row() -> None:
    samples = [
        soak.Sample(done=10, seconds=60.0, memory=500.4, handles=7, processor=6.0),
        soak.Sample(done=1000, seconds=660.0, memory=501.0, handles=7, processor=66.0),
    ]
    found = soak.table(samples, {"runs": 1000})
    assert found.rows == (
        ("10 runs done", "1.0", "500", "7", "10%"),
        ("1,000 runs done", "11.0", "501", "7", "10%"),
    )
    assert "runs 1,000" in " ".join(found.notes)


def test_the_soak_finds_the_largest_folders(tmp_path: Path) -> None:
    for name in ("runs/a", "runs/b", "runs/c", "jobs/1"):
        (tmp_path / name).mkdir(parents=True)
    assert soak.entries(tmp_path, 1) == {"runs": 3}
