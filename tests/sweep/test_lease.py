"""The lease on a study: one at a time, and no wish for a tick is lost."""

import threading
from pathlib import Path

import pytest

from difair_hpc.errors import RunBusy
from difair_hpc.runs.attempts import Attempt
from difair_hpc.sweep.lease import Wishes, is_attended, lease, tick_in_turn


def test_a_second_holder_is_refused(tmp_path: Path) -> None:
    with lease(tmp_path) as held:
        with pytest.raises(RunBusy, match="is being worked on by process"):
            lease(tmp_path)
        held.end("finished")
    with lease(tmp_path) as again:
        assert again.number == 2


def test_a_claim_says_whether_there_is_use_in_waiting(tmp_path: Path) -> None:
    assert not is_attended(tmp_path)
    with lease(tmp_path, attended=True) as held:
        assert is_attended(tmp_path)
        held.end("finished")
    tick_in_turn(tmp_path, lambda _: None)
    assert not is_attended(tmp_path)


def test_a_tick_takes_place_once_where_nobody_else_wishes(tmp_path: Path) -> None:
    ticks: list[int] = []
    assert tick_in_turn(tmp_path, lambda held: ticks.append(held.number))
    assert ticks == [1]
    assert not Wishes(tmp_path).stands()


def test_a_wish_during_a_tick_leads_to_another_by_the_same_holder(tmp_path: Path) -> None:
    ticks: list[bool] = []

    def tick(held: Attempt) -> None:
        if not ticks:
            ticks.append(True)
            assert not tick_in_turn(tmp_path, tick), "the second one leaves at once"
        else:
            ticks.append(False)

    assert tick_in_turn(tmp_path, tick)
    assert ticks == [True, False]


def test_a_wish_that_comes_as_the_holder_lets_go_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []
    end = Attempt.end

    def late(held: Attempt, reason: str) -> None:
        if len(ticks) == 1:
            Wishes(tmp_path).wish()  # another saw the lease held, and left
        end(held, reason)  # type: ignore[arg-type]

    monkeypatch.setattr(Attempt, "end", late)
    assert tick_in_turn(tmp_path, lambda held: ticks.append(held.number))
    assert ticks == [1, 2]


def test_many_at_once_tick_at_least_once_after_the_last_wish(tmp_path: Path) -> None:
    seen: list[int] = []
    done: list[int] = []

    def job() -> None:
        done.append(1)  # what a tick has to see
        tick_in_turn(tmp_path, lambda _: seen.append(len(done)))

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[-1] == 8
    assert not Wishes(tmp_path).stands()


def test_claims_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(12):
        tick_in_turn(tmp_path, lambda _: None)
    names = [path.name for path in (tmp_path / "attempts").iterdir()]
    assert "0012.json" in names
    assert len(names) <= 15
