"""Damage to files: cut short, or one bit flipped; and a disk that is full."""

import errno
import os
from pathlib import Path

from difair_hpc.words import counted


def cut(path: Path, place: float, *, tail: bool) -> str:
    """Truncate a file and return what was done.

    Args:
        path: The file; it is not empty.
        place: Where, 0 to below 1 of the whole file, or of its last line.
        tail: Cut within the last line.
    """
    start, end = _range(path, tail=tail)
    size = start + 1 + int(place * (end - start - 1)) if tail else int(place * end)
    os.truncate(path, size)
    return f"{path.name} cut from {end} to {counted(size, 'byte')}"


def flip(path: Path, place: float, *, tail: bool) -> str:
    """Flip one bit of a file, or of its last line, and return what was done."""
    start, end = _range(path, tail=tail)
    position, bit = start + int(place * (end - start)), int(place * 1e6) % 8
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))
    return f"bit {bit} of byte {position} of {path.name} flipped"


def fill(path: Path) -> int:
    """Let a file take all the space that is left where it lies, and return its size in bytes."""
    size = 0
    with path.open("wb") as file:
        while free := _free(path.parent):
            try:
                os.posix_fallocate(file.fileno(), size, free)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                continue  # somebody else took a part of it
            size += free
    return size


def _free(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _range(path: Path, *, tail: bool) -> tuple[int, int]:
    content = path.read_bytes()
    return (content.rstrip(b"\n").rfind(b"\n") + 1 if tail else 0), len(content)
