"""Who works on a run: one live process at a time, the later over the earlier, and the dead are recognised."""

import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest

from difair_hpc.errors import InvalidValue, RunBusy
from difair_hpc.runs.attempts import SILENCE_LIMIT, Attempt, newest, view, views
from tests.runs.made import Holder, put_attempt, put_beat
from tests.waiting import eventually


def test_attempts_count_from_1_and_record_what_they_run_on(folder: Path) -> None:
    assert newest(folder) is None
    assert views(folder) == []
    first = Attempt(folder, {"hardware": {"cpu": "a"}})
    first.end("stopped")
    second = Attempt(folder, {})
    assert (first.number, second.number) == (1, 2)
    assert [attempt.number for attempt in views(folder)] == [1, 2]
    record = view(folder, 1).record
    assert record["pid"] == os.getpid()
    assert record["hardware"] == {"cpu": "a"}
    assert abs(record["started"] - time.time()) < 60


def test_a_second_live_process_is_refused_by_name(folder: Path) -> None:
    with Holder(folder) as holder:
        with pytest.raises(RunBusy) as caught:
            Attempt(folder, {})
        assert f"run {folder.name} is being worked on by {holder.name}" in str(caught.value)
        assert caught.value.exit_code == 2
        assert len(views(folder)) == 1


def test_a_suspended_process_still_holds_its_run(folder: Path) -> None:
    with Holder(folder) as holder:
        holder.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RunBusy):
            Attempt(folder, {})


def test_a_suspended_process_that_has_been_silent_for_long_is_superseded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFAIR_SILENCE", "0.5")
    with Holder(folder) as holder:
        began = view(folder, 1).beat["time"]
        assert eventually(lambda: view(folder, 1).beat["time"] > began + 0.5), "it beats"
        assert view(folder, 1).alive, "often enough for the shorter limit"
        holder.process.send_signal(signal.SIGSTOP)
        assert eventually(lambda: not view(folder, 1).alive)
        assert view(folder, 1).pid == holder.process.pid
        assert Attempt(folder, {}).number == 2
        holder.process.send_signal(signal.SIGCONT)
        assert view(folder, 2).alive


@pytest.mark.parametrize("text", ["soon", "0", "inf", "-3"])
def test_a_limit_of_silence_that_is_no_time_is_named(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFAIR_SILENCE", text)
    put_attempt(folder, 1)
    with pytest.raises(InvalidValue, match=f"DIFAIR_SILENCE={text}"):
        _ = view(folder, 1).alive


def test_a_killed_process_is_superseded_even_as_a_zombie(folder: Path) -> None:
    with Holder(folder) as holder:
        holder.kill()
        assert eventually(lambda: not view(folder, 1).alive)
        assert holder.process.returncode is None  # not yet collected: its entry is still in the process table
        assert Attempt(folder, {}).number == 2


def test_a_process_that_left_is_superseded(folder: Path) -> None:
    with Holder(folder) as holder:
        holder.kill()
        holder.process.wait()
        assert view(folder, 1).end is None
        assert Attempt(folder, {}).number == 2


def test_a_new_process_with_the_number_of_a_dead_one_is_not_it(folder: Path) -> None:
    mine = Attempt(folder, {})
    record = folder / "attempts" / "0001.json"
    content = json.loads(record.read_text())
    assert view(folder, 1).alive
    record.write_text(json.dumps(content | {"pid_started": str(int(content["pid_started"]) - 1)}))
    assert not view(folder, mine.number).alive


@pytest.mark.parametrize(
    ("started", "heard", "alive"),
    [(1000.0, SILENCE_LIMIT / 2, True), (1000.0, SILENCE_LIMIT * 2, False), (1.0, None, True), (1000.0, None, False)],
)
def test_on_another_machine_the_last_sign_of_life_decides(
    folder: Path, started: float, heard: float | None, *, alive: bool
) -> None:
    put_attempt(folder, 1, started=time.time() - started)
    if heard is not None:
        put_beat(folder, 1, {"time": time.time() - heard, "epoch": 3, "step": 0, "steps": 7})
    assert view(folder, 1).alive is alive
    if alive:
        with pytest.raises(RunBusy, match=r"process 4711 on elsewhere \(attempt 1\)"):
            Attempt(folder, {})
    else:
        assert Attempt(folder, {}).number == 2


def test_an_ended_attempt_is_not_alive_wherever_it_ran(folder: Path) -> None:
    put_attempt(folder, 1)
    (folder / "attempts" / "0001.end.json").write_text('{"reason": "stopped", "time": 1.0}')
    assert not view(folder, 1).alive


def test_two_that_claim_at_once_get_one_attempt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other's record appears after this one has looked: as if both had seen an empty folder.
    monkeypatch.setattr("difair_hpc.runs.attempts.newest", lambda _: None)
    put_attempt(folder, 1)
    with pytest.raises(RunBusy, match="process 4711 on elsewhere"):
        Attempt(folder, {})
    assert view(folder, 1).record["host"] == "elsewhere"


def test_an_attempt_counts_until_a_later_one_exists(folder: Path) -> None:
    attempt = Attempt(folder, {})
    assert attempt.counts()
    put_attempt(folder, 2)
    assert not attempt.counts()


def test_the_first_word_on_how_it_ended_stands(folder: Path) -> None:
    attempt = Attempt(folder, {})
    attempt.at(epoch=3, step=1, steps=7, accuracy=0.5)
    attempt.end("failed", message="boom", trace="line 1")
    attempt.end("finished")
    end = view(folder, 1).end
    assert end is not None
    assert {key: end[key] for key in ("reason", "message", "trace", "epoch", "step", "steps", "accuracy")} == {
        "reason": "failed",
        "message": "boom",
        "trace": "line 1",
        "epoch": 3,
        "step": 1,
        "steps": 7,
        "accuracy": 0.5,
    }


def test_the_heart_beats_at_once_and_at_each_new_epoch(folder: Path) -> None:
    with Attempt(folder, {}) as attempt:
        assert view(folder, 1).beat["epoch"] == 0
        attempt.at(epoch=5, step=2, steps=7, accuracy=0.25)
        assert eventually(lambda: view(folder, 1).beat["epoch"] == 5)
        beat = view(folder, 1).beat
    assert (beat["step"], beat["steps"], beat["accuracy"]) == (2, 7, 0.25)


def test_a_full_disk_does_not_stop_the_heart(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Attempt(folder, {}) as attempt:
        with monkeypatch.context() as patch:
            patch.setattr("difair_hpc.files.os.fsync", full)
            attempt.at(epoch=1, step=0, steps=7)
            assert eventually(lambda: "heartbeat of attempt 1: no space is left" in caplog.text)
        attempt.at(epoch=2, step=0, steps=7)
        assert eventually(lambda: view(folder, 1).beat["epoch"] == 2)


def test_the_time_worked_ends_with_the_attempt_or_its_last_sign_of_life(folder: Path) -> None:
    put_attempt(folder, 1, started=100.0)
    assert view(folder, 1).seconds == 0.0
    put_beat(folder, 1, {"time": 130.0})
    assert view(folder, 1).seconds == 30.0
    (folder / "attempts" / "0001.end.json").write_text('{"reason": "stopped", "time": 142.5}')
    assert view(folder, 1).seconds == 42.5


def test_what_runs_beside_the_heartbeat_may_fail_and_is_called_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def stale() -> None:
        calls.append(len(calls))
        raise OSError(errno.ESTALE, "Stale file handle")

    with Attempt(folder, {}, beside=stale) as attempt:
        assert eventually(lambda: len(calls) > 1)
        attempt.at(epoch=7, step=0, steps=1)
        assert eventually(lambda: view(folder, 1).beat["epoch"] == 7)
    assert "heartbeat of attempt 1: [Errno 116] Stale file handle" in caplog.text
