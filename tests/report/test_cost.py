"""What runs took: hours by hand, work that was lost, and folders that are torn or strange."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.report.cost import RunCost, cost_table, environment_table, run_cost
from difair_hpc.report.layout import texts
from difair_hpc.runs import spool
from tests.report.test_html import cost

ELSEWHERE = {"machine": "another boot", "pid": 1, "place": {"job": "7_1", "node": "n1"}}
ON_GPU = {"hardware": {"device": "cuda", "gpu": "Tesla V100", "threads": 4}, "versions": {"commit": "abc"}}


def put(folder: Path, name: str, content: object) -> None:
    (folder / "attempts").mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def attempt(folder: Path, number: int, started: float, end: Mapping[str, Any] | None, heard: float = 0.0) -> None:
    put(folder, f"attempts/{number:04d}.json", {**ELSEWHERE, **ON_GPU, "started": started})
    if end is not None:
        put(folder, f"attempts/{number:04d}.end.json", end)
    if heard:
        put(folder, f"attempts/{number:04d}.beat.json", {"time": heard, "epoch": 1})


def kept(folder: Path, moments: Sequence[float]) -> None:
    spool.append(folder, [{"epoch": e, "time": t, "metrics": {}} for e, t in enumerate(moments, 1)], attempt=1)


@pytest.fixture
def preempted(tmp_path: Path) -> RunCost:
    """Three attempts: one vanished 40 s after its last kept epoch, one saved and left, one finished."""
    folder = tmp_path / "abc"
    attempt(folder, 1, 1000, None, heard=1240)
    put(folder, "attempts/0001.kind.json", {"kind": "preempted", "evidence": ""})
    attempt(folder, 2, 2000, {"reason": "stopped", "time": 2100})
    attempt(folder, 3, 3000, {"reason": "finished", "time": 3300})
    kept(folder, [1100, 1200, 2090, 3200])
    put(folder, "spec.json", {"spec": {"method": {"name": "cac"}, "seed": 3}})
    put(folder, "result.json", {"seconds": 640.0, "finished": 3299.0, "place": {"job": "9", "node": "n2"}, **ON_GPU})
    return run_cost(folder)


def test_a_run_that_was_preempted_and_stopped(preempted: RunCost) -> None:
    assert (preempted.attempts, preempted.seconds, preempted.lost_seconds) == (3, 640, 40)
    assert preempted.ends == ("preempted", "stopped")
    assert preempted.epochs == 4
    assert (preempted.started, preempted.ended, preempted.running) == (1000, 3299, False)
    assert (preempted.job, preempted.node) == ("9", "n2")
    assert (preempted.spec["method.name"], preempted.spec["seed"]) == ("cac", 3)
    assert (preempted.unit, preempted.hours) == ("GPU-hours", 640 / 3600)


def test_an_attempt_without_any_kept_epoch_is_lost_as_a_whole(tmp_path: Path) -> None:
    attempt(tmp_path, 1, 1000, {"reason": "failed", "time": 1050})
    attempt(tmp_path, 2, 2000, {"reason": "failed", "time": 2100})
    kept(tmp_path, [2030])
    found = run_cost(tmp_path)
    assert (found.seconds, found.lost_seconds, found.ends) == (150, 50 + 70, ("failed", "failed"))
    assert (found.ended, found.job, found.node) == (None, "7_1", "n1")


def test_an_epoch_kept_after_the_last_heartbeat_loses_nothing(tmp_path: Path) -> None:
    attempt(tmp_path, 1, 1000, None, heard=1095)
    kept(tmp_path, [1099])
    assert run_cost(tmp_path).lost_seconds == 0


def test_a_folder_that_is_not_there_is_a_run_that_never_began(tmp_path: Path) -> None:
    found = run_cost(tmp_path / "new")
    assert (found.attempts, found.seconds, found.started, found.machine) == (0, 0, None, {})


@pytest.mark.parametrize("text", ["", "[1]", '{"spec": 3, "hardware": []}'])
def test_torn_files_leave_their_values_empty(tmp_path: Path, text: str) -> None:
    attempt(tmp_path, 1, 1000, {"reason": "stopped", "time": 1010})
    for name in ("spec.json", "result.json"):
        (tmp_path / name).write_text(text)
    found = run_cost(tmp_path)
    assert (found.attempts, found.seconds, found.spec) == (1, 10, {})


def test_hours_are_counted_by_stage_and_once_in_all() -> None:
    gpu = {"gpu": "V100", "threads": 8}
    planned = {"protocol.epochs": 600}
    a, b = (
        cost("a", machine=gpu, attempts=2, lost_seconds=720.0, ends=("preempted",), spec=planned),
        cost("b", epochs=200, seconds=1800.0, spec=planned),
    )
    new = cost("new", attempts=0, seconds=0.0)
    table = cost_table({"coarse": [a, b], "in all": [a, new], "final": []})
    assert table.header == ("Stage", "runs begun", "attempts", "epochs", "GPU-hours", "core-hours", *table.header[6:])
    # a: 1 h on a GPU, 0.2 h of them lost; b: half an hour on two threads; 720 of 5400 s are lost.
    assert texts(table) == [
        ["coarse", "2", "3", "800 of 1200", "1.00", "1.00", "0.2", "13.3", "preempted 1"],
        ["in all", "0", "0", "0 of 0", "0.00", "0.00", "0.00", "·", "·"],
        ["final", "0", "0", "0 of 0", "0.00", "0.00", "0.00", "·", "·"],
        ["in all", "2", "3", "800 of 1200", "1.00", "1.00", "0.2", "13.3", "preempted 1"],
    ]
    assert table.rows[0][4].links == ("a", "b")


def test_nothing_has_run_yet() -> None:
    assert texts(cost_table({})) == [["in all", "0", "0", "0 of 0", "0.00", "0.00", "·", "·"]]
    assert environment_table([]).notes == ("No run has begun yet.",)


def test_the_environment_names_each_value_with_its_runs() -> None:
    one, two = {"gpu": None, "threads": 1}, {"gpu": None, "threads": 2}
    table = environment_table([cost("a", machine=one), cost("b", machine=two), cost("b", machine=two)])
    assert texts(table) == [["gpu", "none", "2"], ["threads", "1", "1"], ["threads", "2", "1"]]
    assert [line[2].links for line in table.rows] == [("a", "b"), ("a",), ("b",)]
