"""Writing files so that half a file cannot exist: unique temporary name, fsync, then one atomic step."""

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from difair_hpc.errors import DifairError, DiskFull, Failure, RootUnusable


def write_atomically(path: Path, content: bytes | str) -> Path:
    """Replace `path` by `content` (text as UTF-8) in one step and return it; a reader sees the old file or the new.

    Raises:
        DiskFull: no space is left; the old file is untouched.
        RootUnusable: the folder cannot be written.
    """
    with _explained(path), _complete_copy(path, content) as copy:
        copy.replace(path)
    return path


def write_once(path: Path, content: bytes | str) -> bool:
    """Create `path` with `content` in one step unless it is there; return whether this call made it.

    Raises:
        DiskFull: no space is left; nothing is left behind.
        RootUnusable: the folder cannot be written.
    """
    with _explained(path), _complete_copy(path, content) as copy:
        try:
            path.hardlink_to(copy)
        except FileExistsError:
            return False
        return True


def append_line(path: Path, line: str) -> None:
    """Append `line` and a newline; a torn last line of a dead writer is closed first, and stays invalid alone.

    Raises:
        DiskFull: no space is left; what was there before is still there.
        RootUnusable: the folder cannot be written.
    """
    with _explained(path), path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        torn = False
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any | None:
    """Return what the JSON file holds, or None where there is no whole JSON file (absent, or torn by a crash)."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def usable_folder(path: Path, *, key: str) -> Path:
    """Create the folder if needed, prove that it can be written, and return it.

    Raises:
        RootUnusable: it is no folder, or cannot be created or written; the message names `key`.
        DiskFull: no space is left there.
    """
    probe = path / f".probe-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full(path) from error
        message = f"{key}={path} cannot be written ({error.strerror}); choose another folder with {key}=FOLDER."
        raise RootUnusable(message) from error
    finally:
        if probe.is_file():
            probe.unlink()
    return path


@contextmanager
def _complete_copy(path: Path, content: bytes | str) -> Iterator[Path]:
    copy = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with copy.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        yield copy
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except DifairError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(path.parent) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RootUnusable(f"{path} cannot be written ({error.strerror}); check who owns {path.parent}.") from error
        raise Failure(f"{path} could not be written: {error.strerror}.") from error


def _full(folder: Path) -> DiskFull:
    return DiskFull(f"no space is left for {folder}; free some and repeat the command: nothing written so far is lost.")
