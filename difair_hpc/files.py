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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from difair_hpc.disk import named_once, to_disk
from difair_hpc.folders import readable, writable
from difair_hpc.nofollow import OTHERS_WRITE, NotAFile, opened, others_write, reached
from difair_hpc.user import OTHERS

Form = Any
"""What plain data has to be: a type (`float`: a number), a pattern of a text, None, a tuple of possible forms, a list
with the form of each element, or a dict with the form of each key; a key that ends in ? may be absent."""
MOST_BYTES = 64 * 2**20
"""No text of a run or study is longer: 600 epochs of a run are below one MB."""
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
    with (
        writable(path),
        reached(path, follow=False) as (folder, name),
        _complete_copy(folder, name, parts, own=own) as copy,
    ):
        check()
        os.replace(copy, name, src_dir_fd=folder, dst_dir_fd=folder)  # noqa: PTH105 - in a folder by its descriptor
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
    with (
        writable(path),
        reached(path, follow=False) as (folder, name),
        _complete_copy(folder, name, [content], own=own) as copy,
    ):
        return named_once(folder, name, copy)


def write_from(source: IO[bytes], path: Path, *, below: Path) -> None:
    """Replace a file by what is read from another, in one step; no link below the folder `below` is followed.

    Raises:
        OSError: it cannot be written; `Untrusted` where a link is in the way.
    """
    parts = iter(lambda: source.read(2**20), b"")
    with (
        reached(path, follow=False, below=below) as (folder, name),
        _complete_copy(folder, name, parts, own=False) as copy,
    ):
        os.replace(copy, name, src_dir_fd=folder, dst_dir_fd=folder)  # noqa: PTH105 - in a folder by its descriptor


def append_line(path: Path, line: str) -> None:
    """Append `line` and a newline; a torn last line of a dead writer is closed first, and stays invalid alone.

    Raises:
        DiskFull: no space is left; what was there before is still there.
        RootUnusable: the folder cannot be written.
    """
    with writable(path), _as_file(opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        torn = False
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")
        file.flush()
        to_disk(file.fileno())


def new_file(path: Path) -> IO[bytes]:
    """Create a file that nobody else may write, whoever shares the output root, and open it for appending.

    Raises:
        FileExistsError: something has this name.
        OSError: it cannot be made.
    """
    return _as_file(opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644), "ab")


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file as it stands, and make it where it is absent.

    Raises:
        OSError: it cannot be written; `Untrusted` where it is no file.
    """
    with _as_file(opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
        file.write(content)
        file.flush()
        to_disk(file.fileno())


def read_json(path: Path, form: Form = object) -> Any | None:
    """Return what the JSON file holds, or None where there is no whole JSON file of that form.

    Raises:
        Unreadable: it cannot be read at the moment, or is larger than any.
    """
    return parse_json(read_text(path), form)


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Return the text of a file, with a sign for each byte that is none; nothing where there is no file.

    Raises:
        Unreadable: it cannot be read at the moment, or has more than `most` bytes.
    """
    with readable(path):
        try:
            return read_bytes(path, most=most).decode("utf-8", errors="replace").replace("\r\n", "\n")
        except (FileNotFoundError, NotADirectoryError, NotAFile):
            return ""


def read_owned(path: Path) -> tuple[str, int]:
    """Return the text of a file and the number of the user who alone can have written it, seen on the open file.

    OTHERS stands for a file that more than its owner may write: it can have been renamed to this place. Nothing, and
    this user, where there is no file; raises as `read_text` does.
    """
    with readable(path):
        try:
            with _as_file(opened(path, os.O_RDONLY), "rb") as file:
                found = os.fstat(file.fileno())
                _require_size(path, found.st_size, MOST_BYTES)
                owner = OTHERS if others_write(found) else found.st_uid
                return file.read().decode("utf-8", errors="replace"), owner
        except (FileNotFoundError, NotADirectoryError, NotAFile):
            return "", os.geteuid()


def read_bytes(path: Path, *, most: int | None = None, begin: int = 0) -> bytes:
    """Return the content of a file from a byte on.

    Raises:
        OSError: it cannot be read; `Untrusted` where it is no file; EFBIG where it has more than `most` bytes.
        ValueError: it ends before that byte.
    """
    with _as_file(opened(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None:
            _require_size(path, size, most)
        if size < begin:
            raise ValueError(f"{path} has {size} bytes and had {begin} before")
        file.seek(begin)
        return file.read()


def read_tail(path: Path, *, most: int, begin: int = 0, end: int | None = None) -> str:
    """Return the last of a text from byte `begin` up to byte `end` (None: all of it), at most so many bytes.

    Raises:
        Unreadable: it cannot be read at the moment.
    """
    with readable(path):
        try:
            with _as_file(opened(path, os.O_RDONLY), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                last = size if end is None else min(end, size)
                first = max(begin, last - most)
                file.seek(first)
                return file.read(max(0, last - first)).decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError, NotAFile):
            return ""


def read_end(path: Path, count: int) -> bytes:
    """Return the last bytes of a file; raises as `read_bytes` does."""
    with _as_file(opened(path, os.O_RDONLY), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - count))
        return file.read()


def _require_size(path: Path, size: int, most: int) -> None:
    if size > most:
        raise OSError(errno.EFBIG, f"its {size} bytes are more than any such file has ({most})", str(path))


def _as_file(descriptor: int, mode: str) -> IO[bytes]:
    return cast("IO[bytes]", open(descriptor, mode))  # noqa: PTH123, SIM115 - a descriptor, which its caller closes


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


@contextmanager
def _complete_copy(folder: int, name: str, parts: Iterable[bytes | memoryview | str], *, own: bool) -> Iterator[str]:
    copy = f".{name}.{uuid.uuid4().hex}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(copy, flags, 0o666, dir_fd=folder), "wb") as file:  # noqa: PTH123 - a descriptor
            if own:
                os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~OTHERS_WRITE)
            file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
            file.flush()
            to_disk(file.fileno())
        yield copy
    finally:
        with suppress(FileNotFoundError):
            os.unlink(copy, dir_fd=folder)  # noqa: PTH108 - in a folder by its descriptor
