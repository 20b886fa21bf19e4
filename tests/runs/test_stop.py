"""Signals become a flag, in a real process; afterwards they mean again what they meant before."""

import signal
import subprocess
import sys

import pytest

from difair_hpc.runs.stop import STOP_SIGNALS, StopFlag, stop_on_signal

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
