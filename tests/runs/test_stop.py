"""Signals become a flag, in a real process; afterwards they mean again what they meant before."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from difair_hpc.runs.attempts import view
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.stop import STOP_SIGNALS, TIME, StopFlag, StopWatch, stop_on_signal
from tests.runs.made import created, execution
from tests.waiting import eventually

WAITER = """
import time
from difair_hpc.runs.stop import stop_on_signal

with stop_on_signal() as flag:
    assert not flag
    print("ready", flush=True)
    while not flag:
        time.sleep(0.005)
    time.sleep(0.05)
    print(flag.reason, flush=True)
"""


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_sets_the_flag_and_nothing_else(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"{number.name}\n"
    assert process.returncode == 0


def test_the_first_signal_is_remembered() -> None:
    flag = StopFlag()
    flag.raise_flag(signal.SIGUSR2, None)
    flag.raise_flag(signal.SIGTERM, None)
    assert flag
    assert flag.reason == "SIGUSR2"


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_on_signal():
        assert all(signal.getsignal(number) not in before for number in STOP_SIGNALS)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def asked_to_stop(*, obey: tuple[str, ...] = ()) -> str:
    """Send every stop signal to this process while it collects them; return what the flag says of each."""
    reasons = []
    for number in STOP_SIGNALS:
        with stop_on_signal(obey=obey) as flag:
            signal.raise_signal(number)
            reasons.append(flag.reason)
    return " ".join(reasons)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored(number: signal.Signals) -> None:
    others = [other.name for other in STOP_SIGNALS if other != number]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert asked_to_stop().split() == others
        assert signal.getsignal(number) == signal.SIG_IGN
        assert number.name in asked_to_stop(obey=(number.name,)).split(), "a job obeys what SLURM and we send to it"
    finally:
        signal.signal(number, before)


def test_whoever_waits_is_told_at_once_and_once() -> None:
    said: list[str] = []
    with stop_on_signal(said.append) as flag:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # right behind: what a shell or a starter has passed on
        assert flag.reason == "SIGTERM"
        assert eventually(lambda: said)
    assert said == ["SIGTERM"]


def test_a_second_ctrl_c_ends_a_command_at_once_and_a_run_never(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with stop_on_signal(lambda _: None):
        signal.raise_signal(signal.SIGINT)
        clock.now += 1
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with stop_on_signal() as flag:
        signal.raise_signal(signal.SIGINT)
        clock.now += 1
        signal.raise_signal(signal.SIGINT)
        assert flag.reason == "SIGINT"


class Clock:
    """Both clocks of the module, in the hand of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr("difair_hpc.runs.stop.time.time", lambda: self.now)
        monkeypatch.setattr("difair_hpc.runs.stop.time.monotonic", lambda: self.now)


def test_a_run_leaves_when_its_job_has_no_time_for_another_epoch_and_two_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    watch = StopWatch(tmp_path, lambda: "", ends=clock.now + 100)
    watch.save_took(10)
    clock.now += 30
    watch.epoch_done()  # 70 s are left for 30 + 2 * 10 and a margin of 5
    assert watch.asked() == ""
    clock.now += 16
    watch.epoch_done()  # 54 s are left
    assert watch.asked() == TIME


def test_the_first_epoch_is_begun_however_little_time_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = StopWatch(tmp_path, lambda: "", ends=clock.now + 1)
    assert watch.asked() == "", "else a run whose epochs are long would never get on"


def test_without_a_limit_time_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = StopWatch(tmp_path, lambda: "", ends=None)
    clock.now += 1e6
    watch.epoch_done()
    assert watch.asked() == ""


def test_a_mark_is_seen_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = StopWatch(tmp_path, lambda: "", ends=None)
    write_mark(tmp_path, Mark(hold="held"))
    watch.look()
    assert watch.asked() == "", "the file is read every few seconds only"
    clock.now += 6
    assert watch.asked() == "", "not by the thread that trains"
    watch.look()
    assert watch.asked() == "held"
    write_mark(tmp_path, Mark())
    clock.now += 6
    watch.look()
    assert watch.asked() == "held", "it was told and leaves"


def test_a_signal_comes_first(tmp_path: Path) -> None:
    assert StopWatch(tmp_path, lambda: "SIGTERM", ends=0.0).asked() == "SIGTERM"


@pytest.mark.usefixtures("tiny")
def test_a_second_ctrl_c_is_no_failure_of_the_run(tmp_path: Path) -> None:
    def interrupts() -> bool:
        raise KeyboardInterrupt

    place = created(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(place, execution(), Events(should_stop=interrupts))
    end = view(place.path, 1).end
    assert end is not None
    assert (end["reason"], end["signal"]) == ("stopped", "SIGINT")
    assert place.state().status == "stopped"
