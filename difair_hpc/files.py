"""Writing files so that half a file cannot exist (unique temporary name, fsync, one atomic step), and reading them.

What is read may be anything: torn by a crash, edited, of another version, a folder. A reader says what it needs, its
`Form`, and gets that or nothing.
"""

import errno
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from difair_hpc.disk import named_once, to_disk
from difair_hpc.errors import DifairError, DiskFull, Failure, RootUnusable

Form = Any
"""What plain data has to be: a type (`float`: a number), a pattern of a text, None, a tuple of possible forms, a list
with the form of each element, or a dict with the form of each key; a key that ends in ? may be absent."""
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LARGEST = 1e15
"""No time, count or size on record is larger; beyond it arithmetic on a damaged number would overflow."""


def write_atomically(
    path: Path,
    *parts: bytes | memoryview | str,
    check: Callable[[], object] = lambda: None,
    own: bool = False,
) -> Path:
    """Replace `path` by `parts` (text as UTF-8) in one step and return it; a reader sees the old file or the new.

    Args:
        path: The file.
        parts: Its content, one after the other.
        check: Called when the new content is on the disk, right before it counts; if it raises, the old file stays.
        own: Nobody else may write it, however many share the output root.

    Raises:
        DiskFull: no space is left; the old file is untouched.
        RootUnusable: the folder cannot be written.
    """
    with _explained(path), _complete_copy(path, *parts, own=own) as copy:
        check()
        copy.replace(path)
    return path


def write_once(path: Path, content: bytes | str, *, own: bool = False) -> bool:
    """Create `path` with `content` in one step unless it is there; return whether this call made it.

    Args:
        path: The file.
        content: What it holds.
        own: Nobody else may write it, however many share the output root.

    Raises:
        DiskFull: no space is left; nothing is left behind.
        RootUnusable: the folder cannot be written.
    """
    with _explained(path), _complete_copy(path, content, own=own) as copy:
        return named_once(path, copy)


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
        to_disk(file.fileno())


def read_json(path: Path, form: Form = object) -> Any | None:
    """Return what the JSON file holds, or None where there is no whole JSON file of that form.

    Raises:
        Failure: it cannot be read at the moment.
    """
    return parse_json(read_text(path), form)


def read_text(path: Path) -> str:
    """Return the text of a file, with a sign for each byte that is none; nothing where there is no file.

    Raises:
        Failure: it cannot be read at the moment.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", opener=_without_waiting) as file:  # noqa: PTH123 - no opener there
            return file.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
            return ""
        raise Failure(f"{path} cannot be read: {error.strerror}.") from error


def _without_waiting(name: str, flags: int) -> int:
    """Open a file; of a pipe, which somebody has put in its place, nobody waits for the other end."""
    return os.open(name, flags | os.O_NONBLOCK)


def parse_json(text: str, form: Form = object) -> Any | None:
    """Return what the text says, or None where it is no JSON of that form."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if fits(value, form) else None


def fits(value: object, form: Form) -> bool:
    """Whether plain data has a form."""
    if isinstance(form, tuple):
        return any(fits(value, one) for one in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(element, form[0]) for element in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and all(_has(value, key, part) for key, part in form.items())
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and form.fullmatch(value) is not None
    if form in (int, float):
        number = isinstance(value, int if form is int else int | float) and not isinstance(value, bool)
        return number and -_LARGEST < value < _LARGEST  # type: ignore[operator]
    return value is form if form is None else isinstance(value, form)


def _has(value: dict[str, Any], key: str, form: Form) -> bool:
    name = key.removesuffix("?")
    return fits(value[name], form) if name in value else name != key


def keep_private(root: Path) -> None:
    """Let what this process makes be as private as the output root: a new one is nobody else's (0700).

    Whoever shares a root says so by its mode, such as `chmod 2770`: what is made below it follows.
    """
    mode = root.stat().st_mode if root.is_dir() else 0o700
    os.umask(~mode & 0o077)


def possible_folder(path: Path, *, key: str) -> Path:
    """Return the folder if it is there and can be written, or can be made; nothing is written.

    Raises:
        RootUnusable: neither; the message names `key`.
    """
    if any("\ud800" <= sign <= "\udfff" for sign in str(path)):
        raise RootUnusable(
            f"{key}={ascii(str(path))} is not valid UTF-8, as addresses of files must be; choose another folder."
        )
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "cannot be written" if there == path else f"cannot be made in {there}"
        raise RootUnusable(f"{key}={path} {reason}; choose another folder with {key}=FOLDER.")
    return path


def make_own_folder(path: Path) -> Path:
    """Make the folder, and those above it, so that nobody else may put something into it; return it.

    Raises:
        RootUnusable: it is another user's, or cannot be made.
        DiskFull: no space is left there.
    """
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
        if path.stat().st_mode & OTHERS_WRITE:
            path.chmod(path.stat().st_mode & ~OTHERS_WRITE)
    return path


def is_own(path: Path) -> bool:
    """Whether this user alone can have written the file, or what the folder lists; False: it is not there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & OTHERS_WRITE and not stat.S_ISLNK(found.st_mode)


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(path) from error
        message = f"{key}={path} cannot be written ({error.strerror}); choose another folder with {key}=FOLDER."
        raise RootUnusable(message) from error
    finally:
        if probe.is_file():
            probe.unlink()
    return path


@contextmanager
def _complete_copy(path: Path, *parts: bytes | memoryview | str, own: bool) -> Iterator[Path]:
    copy = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with copy.open("xb") as file:
            if own:
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & ~OTHERS_WRITE)
            file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
            file.flush()
            to_disk(file.fileno())
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
