"""A stop is a flag: SIGINT, SIGTERM, SIGUSR2 and SIGHUP set it, the trainer looks between batches.

So do a mark in the run folder and a time limit that leaves no room for another epoch.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from difair_hpc.runs.marks import read_mark

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


TIME = "time"
"""Reason of a run that left by itself, because its job had no time for another epoch and its save."""
_LOOK_SECONDS = 5.0
_MARGIN_SECONDS = 5.0
_PAUSE_LOOK_SECONDS = 0.1


class StopWatch:
    """Says between batches whether a run is to leave, and why."""

    def __init__(self, folder: Path, asked: Callable[[], object], *, ends: float | None) -> None:
        """Watch the process around the run, the mark in its folder, and when its job ends (seconds since 1970)."""
        self.reason = self._held = ""
        self._folder = folder
        self._asked = asked
        self._ends = ends
        self._looked = self._epoch_began = time.monotonic()
        self._epoch = self._save = 0.0

    def asked(self) -> str:
        """Return why the run is to leave now, or nothing; touches no file, so it may be asked before every batch."""
        if not self.reason:
            asked = self._asked()
            self.reason = str(asked) if asked else self._held
        return self.reason

    def pause(self, seconds: float) -> None:
        """Wait, unless the run is to leave."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.asked():
            time.sleep(min(left, _PAUSE_LOOK_SECONDS))

    def look(self) -> None:
        """Read the mark, every few seconds; called by a thread that may wait for a slow file system."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._held = read_mark(self._folder).hold

    def save_took(self, seconds: float) -> None:
        """Remember how long the slowest save took until it was on the disk."""
        self._save = max(self._save, seconds)

    def epoch_done(self) -> None:
        """Ask the run to leave where the job ends before another epoch and two saves like the slowest so far.

        Two, because a stop may find one under way.
        """
        now = time.monotonic()
        self._epoch, self._epoch_began = max(self._epoch, now - self._epoch_began), now
        if self._ends is not None and time.time() + self._epoch + 2 * self._save + _MARGIN_SECONDS > self._ends:
            self.reason = self.reason or TIME


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
