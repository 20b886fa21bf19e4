"""A stop is a flag: SIGINT, SIGTERM, SIGUSR2 and SIGHUP set it, the trainer looks between batches."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
"""Ctrl-C; preemption and scancel; SLURM's notice before the time limit (as submitit asks for it); a closed terminal."""


class StopFlag:
    """Remembers that somebody asked to stop, and which signal said so."""

    def __init__(self) -> None:
        """Start unset."""
        self.reason: str = ""

    def __bool__(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.reason)

    def raise_flag(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal; of several the first is remembered."""
        self.reason = self.reason or signal.Signals(number).name


@contextmanager
def stop_on_signal() -> Iterator[StopFlag]:
    """Collect stop signals in a flag until the end of the block (main thread only)."""
    flag = StopFlag()
    before = {number: signal.signal(number, flag.raise_flag) for number in STOP_SIGNALS}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
