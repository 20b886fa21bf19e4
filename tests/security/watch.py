"""What was opened, read or changed of a few files, as Linux itself tells (inotify)."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_ACCESS, _MODIFY, _ATTRIB, _MOVED, _OPEN, _CREATE, _DELETE = 0x1, 0x2, 0x4, 0xC0, 0x20, 0x100, 0x200
_WORDS = {_ACCESS: "read", _MODIFY: "changed", _ATTRIB: "attributes changed", _OPEN: "opened", _CREATE: "created",
          _DELETE: "deleted", 0x40: "moved away", 0x80: "moved there"}  # fmt: skip
_HEAD = struct.Struct("iIII")


class Watch:
    """Watches files and folders from its making on."""

    def __init__(self, paths: Iterable[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._file >= 0, os.strerror(ctypes.get_errno())
        self._paths: dict[int, Path] = {}
        mask = ctypes.c_uint32(_ACCESS | _MODIFY | _ATTRIB | _MOVED | _OPEN | _CREATE | _DELETE)
        for path in paths:
            number = libc.inotify_add_watch(self._file, os.fsencode(path), mask)
            assert number >= 0, f"{path}: {os.strerror(ctypes.get_errno())}"
            self._paths[number] = path

    def events(self) -> list[str]:
        """Return what has happened since the last call, each once."""
        found: dict[str, None] = {}
        while True:
            try:
                content = os.read(self._file, 1 << 16)
            except BlockingIOError:
                return list(found)
            place = 0
            while place < len(content):
                number, mask, _, length = _HEAD.unpack_from(content, place)
                place += _HEAD.size + length
                name = content[place - length : place].rstrip(b"\0").decode()
                words = [word for bit, word in _WORDS.items() if mask & bit]
                if words and number in self._paths:
                    found[f"{self._paths[number] / name}: {' and '.join(words)}"] = None

    def close(self) -> None:
        os.close(self._file)
