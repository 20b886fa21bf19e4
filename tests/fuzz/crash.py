"""A kill at one chosen write: it raises there, and whatever the same attempt tries to write afterwards fails as well.

The places are those that files.py is made of: a file opened to be written, synced, renamed, linked, removed, a folder
made. Data that was not synced when the kill came is lost in part. Writes of any thread count but those of heartbeats,
which come by the clock.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.errors import Failure

_LOST_BYTES = 9
"""Of what was written and not synced."""


class Killed(BaseException):
    """The process ends here."""


class Crash:
    """Counts the writes below a folder, and kills at one of them."""

    def __init__(self, root: Path, at: int | None) -> None:
        self.places: list[str] = []
        self.dead = False
        self._root = root
        self._at = at

    def meets(self, what: str, path: Path, lose: Callable[[], object] = lambda: None) -> None:
        """Note a write, and raise where it is the chosen one or the kill has come before."""
        if not path.is_relative_to(self._root):
            return
        if threading.current_thread().name == "heartbeat":
            if self.dead:
                raise Failure("the process is dead")
            return
        if not self.dead:
            self.places.append(f"{what} {path.name}")
            self.dead = self._at is not None and len(self.places) > self._at
            if self.dead:
                lose()
        if self.dead:
            raise Killed(f"{what} {path}")


@contextmanager
def crash(root: Path, at: int | None = None) -> Iterator[Crash]:
    """Kill at write number `at` below `root` (None: count only); the block ends where the process would."""
    found = Crash(root, at)
    hook = threading.excepthook
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: None if args.exc_type is Killed else hook(args))
        for name in ("replace", "hardlink_to", "unlink", "mkdir"):
            patch.setattr(Path, name, _met(found, name))
        opened, sync = Path.open, os.fsync

        def open_(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            if mode[0] in "xwa":
                found.meets("open", path)
            return opened(path, mode, *more, **named)

        def fsync(number: int) -> None:
            path = Path(f"/proc/self/fd/{number}").readlink()
            size = os.fstat(number).st_size
            found.meets("fsync", path, lambda: os.ftruncate(number, max(0, size - _LOST_BYTES)))
            sync(number)

        patch.setattr(Path, "open", open_)
        patch.setattr(os, "fsync", fsync)
        try:
            yield found
        except Killed:
            assert found.dead
    _bury(root)


def _met(found: Crash, name: str) -> Callable[..., Any]:
    real = getattr(Path, name)

    def call(path: Path, *more: Any, **named: Any) -> Any:
        found.meets(name, path)
        return real(path, *more, **named)

    return call


def _bury(root: Path) -> None:
    """Let every attempt that left no word name a process that is gone: those in the test outlive their kill."""
    for record in root.glob("**/attempts/????.json"):
        if not record.with_suffix(".end.json").exists():
            content = json.loads(record.read_text("utf-8"))
            record.write_text(json.dumps({**content, "pid_started": "a process that is gone"}), "utf-8")
