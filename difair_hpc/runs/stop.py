"""A stop is a flag: SIGINT, SIGTERM, SIGUSR2 and SIGHUP set it, the trainer looks between batches.

So do a mark in the run folder and a time limit that leaves no room for another epoch. A signal that the process was
started to ignore (SIGHUP under nohup, SIGINT in the background of a script) sets no flag.
"""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from difair_hpc.runs.marks import read_mark

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
"""Ctrl-C; preemption and scancel; SLURM's notice before the time limit (as submitit asks for it); a closed terminal."""


class StopFlag:
    """Remembers that somebody asked to stop, and which signal said so."""

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        """Start unset; `tell` is what says to somebody in front of the command that his signal has come."""
        self.reason: str = ""
        self._tell = tell
        self._raised = 0.0

    def __bool__(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.reason)

    def raise_flag(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal; of several the first is remembered.

        Raises:
            KeyboardInterrupt: Ctrl-C came again where somebody was told that it ends the command at once.
        """
        if not self.reason:
            self.reason, self._raised = signal.Signals(number).name, time.monotonic()
            if self._tell is not None:  # in a thread: this one may be in the middle of printing
                threading.Thread(target=self._tell, args=(self.reason,), name="stop", daemon=True).start()
        elif self._tell is not None and number == signal.SIGINT and time.monotonic() - self._raised > _ECHO_SECONDS:
            raise KeyboardInterrupt


TIME = "time"
"""Reason of a run that left by itself, because its job had no time for another epoch and its save."""
_ECHO_SECONDS = 0.5
"""Programs that start a command pass on the Ctrl-C that the terminal has already sent to it."""
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


def is_ignored(number: signal.Signals) -> bool:
    """Whether this process ignores a signal, as nohup and shells without job control start their commands."""
    return signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def stop_on_signal(tell: Callable[[str], object] | None = None, *, obey: Collection[str] = ()) -> Iterator[StopFlag]:
    """Collect stop signals in a flag until the end of the block (main thread only).

    Args:
        tell: Called once, from another thread, with the name of the signal. A second Ctrl-C then raises
            KeyboardInterrupt, which it should announce. None: nobody is told, and further signals change nothing.
        obey: Names of signals that count even where the process was started to ignore them.
    """
    flag = StopFlag(tell)
    heard = [number for number in STOP_SIGNALS if number.name in obey or not is_ignored(number)]
    before = {number: signal.signal(number, flag.raise_flag) for number in heard}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
