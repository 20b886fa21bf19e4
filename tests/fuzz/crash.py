"""A kill at one chosen write: it raises there, and whatever the same attempt tries to write afterwards fails as well.

The places are those that files.py and folders.py are made of: a file opened to be written, synced, renamed, linked,
removed, a folder made. Data that was not synced when the kill came is lost in part. Writes of any thread count
but those of heartbeats, which come by the clock.
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
        for name, place in (("replace", 1), ("link", 1), ("unlink", 0), ("mkdir", 0)):
            patch.setattr(os, name, _met(found, name, place))
        opened, sync = os.open, os.fsync

        def open_(name: Any, flags: int, *more: Any, dir_fd: int | None = None, **named: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                found.meets("open", _path(name, dir_fd))
            return opened(name, flags, *more, dir_fd=dir_fd, **named)

        def fsync(number: int) -> None:
            path = Path(f"/proc/self/fd/{number}").readlink()
            size = os.fstat(number).st_size
            found.meets("fsync", path, lambda: os.ftruncate(number, max(0, size - _LOST_BYTES)))
            sync(number)

        patch.setattr(os, "open", open_)
        patch.setattr(os, "fsync", fsync)
        try:
            yield found
        except Killed:
            assert found.dead
    _bury(root)


def _met(found: Crash, name: str, place: int) -> Callable[..., Any]:
    """Return what stands for a function of os that changes what its argument at `place` names."""
    real = getattr(os, name)

    def call(*words: Any, **named: Any) -> Any:
        found.meets(name, _path(words[place], named.get("dst_dir_fd", named.get("dir_fd"))))
        return real(*words, **named)

    return call


def _path(name: Any, folder: int | None) -> Path:
    """Return the whole path of a name in a folder that is given by its descriptor."""
    return Path(name) if folder is None else Path(f"/proc/self/fd/{folder}").readlink() / name


def _bury(root: Path) -> None:
    """Let every attempt that left no word name a process that is gone: those in the test outlive their kill."""
    for record in root.glob("**/attempts/????.json"):
        if not record.with_suffix(".end.json").exists():
            content = json.loads(record.read_text("utf-8"))
            record.write_text(json.dumps({**content, "pid_started": "a process that is gone"}), "utf-8")
