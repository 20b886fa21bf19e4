"""The spool: what was recorded first stands, and half a line harms nobody."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.runs import spool


def point(epoch: int, time: float = 1.5, **metrics: float) -> dict[str, Any]:
    return {"epoch": epoch, "time": time, "metrics": metrics or {"train_loss": epoch / 3}}


def test_points_come_back_to_the_bit_and_in_order(tmp_path: Path) -> None:
    spool.append(tmp_path, [point(2), point(1, train_loss=0.1 + 0.2)], attempt=1)
    assert list(spool.read(tmp_path).items()) == [(1, point(1, train_loss=0.1 + 0.2)), (2, point(2))]


def test_no_spool_and_no_points(tmp_path: Path) -> None:
    assert spool.read(tmp_path) == {}
    spool.append(tmp_path, [], attempt=1)
    assert list(tmp_path.iterdir()) == []


def test_the_first_line_of_an_epoch_wins(tmp_path: Path) -> None:
    spool.append(tmp_path, [point(1, time=10.0, train_loss=1.0)], attempt=1)
    spool.append(tmp_path, [point(1, time=20.0, train_loss=2.0), point(2, time=21.0)], attempt=2)
    assert spool.read(tmp_path) == {1: point(1, time=10.0, train_loss=1.0), 2: point(2, time=21.0)}


def test_each_line_names_its_attempt(tmp_path: Path) -> None:
    spool.append(tmp_path, [point(1)], attempt=7)
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["attempt"] == 7
    spool.append(tmp_path, [point(1), point(2)], attempt=8)
    assert spool.writers(tmp_path) == {1: 7, 2: 8}, "what came second for an epoch does not count"


@pytest.mark.parametrize("cut", [1, 20, 50])
def test_a_torn_last_line_is_passed_over_and_recorded_again(tmp_path: Path, cut: int) -> None:
    spool.append(tmp_path, [point(1), point(2)], attempt=1)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 1 - cut])
    assert spool.read(tmp_path) == {1: point(1)}
    spool.append(tmp_path, [point(2, time=9.0), point(3)], attempt=2)
    assert spool.read(tmp_path) == {1: point(1), 2: point(2, time=9.0), 3: point(3)}


def test_one_flipped_bit_never_makes_another_value(tmp_path: Path) -> None:
    spool.append(tmp_path, [point(1)], attempt=1)
    spool.append(tmp_path, [point(2, train_loss=0.25)], attempt=1)
    path = tmp_path / "metrics.jsonl"
    whole, good = path.read_bytes(), spool.read(tmp_path)
    start = whole.index(b"\n") + 1
    lost = 0
    for place in range(8 * start, 8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        found = spool.read(tmp_path)
        assert found in (good, {1: good[1]}), f"bit {place % 8} of byte {place // 8}"
        lost += found != good
    assert lost > 600


def test_lines_of_earlier_versions_have_no_checksum(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"attempt": 1, **point(1)}) + "\n")
    assert spool.read(tmp_path) == {1: point(1)}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[1, 2]",
        b"null",
        b"\xff\xfe\x00",
        b'{"epoch": "1", "time": 1, "metrics": {}}',
        b'{"epoch": 1, "metrics": {}}',
        b'{"epoch": 1, "time": NaN, "metrics": {}}',
        b'{"epoch": 1, "time": true, "metrics": {}}',
        b'{"epoch": 1, "time": 1, "metrics": []}',
    ],
)
def test_foreign_lines_are_passed_over(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(line + b"\n")
    spool.append(tmp_path, [point(1)], attempt=1)
    assert spool.read(tmp_path) == {1: point(1)}


def test_a_metric_may_be_no_number_but_not_text(tmp_path: Path) -> None:
    spool.append(tmp_path, [point(1, train_loss=math.nan, other=math.inf)], attempt=1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "time": 1, "metrics": {"a": 1.0, "b": "high"}}\n')
    points = spool.read(tmp_path)
    assert math.isnan(points[1]["metrics"]["train_loss"])
    assert points[1]["metrics"]["other"] == math.inf
    assert points[2]["metrics"] == {"a": 1.0}
