"""Reading and writing below one folder alone, in which others may write too: no link is followed, at any moment.

Every step goes from the descriptor of one folder to a name in it, so that what was looked at is what is used: whoever
puts a link in the place of a folder between two steps gains nothing.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS = os.O_PATH | _FOLDER
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNFINISHED = ".artifact.uploading."
"""Beginning of the names of files that are not complete yet; MLflow's own."""


class Outside(Exception):
    """A place that is not below the folder, or a link or something else that is no file in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file or folder in a folder."""

    name: str
    size: int | None
    """Bytes of a file; None: it is a folder."""


class Fence:
    """A folder, and what may be done below it."""

    def __init__(self, folder: Path) -> None:
        """Take a folder, which need not be there yet; the one that it is in belongs to somebody who is trusted."""
        self.folder = folder.absolute()

    def names(self, address: str) -> tuple[str, ...]:
        """Return the way from the folder to a place that is named by its path or file: address.

        The path may lead to the folder by another way than ours: a link to a home, another mount.

        Raises:
            Outside: it names something else.
        """
        path = Path(path_of(address))
        for above in (path, *path.parents) if path.is_absolute() and "\0" not in str(path) else ():
            if above == self.folder or (above.name == self.folder.name and _same(above.parent, self.folder.parent)):
                return tuple(_checked(path.relative_to(above).parts, empty=True))
        raise Outside(f"{address} is not below {self.folder}")

    def entries(self, names: Sequence[str]) -> list[Entry]:
        """Return what is in a folder, by name; nothing where there is none. Links and the like are left out."""
        try:
            with self._opened(names) as place:
                return sorted(_entries(place), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def copy_out(self, names: Sequence[str], target: Path) -> None:
        """Copy a file to a place outside.

        Raises:
            Outside: it is a link, a folder or no file.
            OSError: it is not there, or cannot be read.
        """
        *above, name = _checked(names)
        with self._opened(above) as place, _file(place, name) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)

    def copy_in(self, source: Path, names: Sequence[str]) -> None:
        """Copy a file from outside to a place inside, in one step; folders are made, a file or link is replaced."""
        *above, name = _checked(names)
        unfinished = f"{_UNFINISHED}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._opened(above, make=True) as place, source.open("rb") as content:
            try:
                with os.fdopen(os.open(unfinished, flags, 0o666, dir_fd=place), "wb") as copy:
                    shutil.copyfileobj(content, copy)
                os.replace(unfinished, name, src_dir_fd=place, dst_dir_fd=place)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(unfinished, dir_fd=place)
                raise

    def remove(self, names: Sequence[str]) -> None:
        """Remove a file, a link, or a folder with all that is in it; nothing where there is none."""
        *above, name = _checked(names)
        with suppress(FileNotFoundError), self._opened(above) as place:
            if stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=place)
            else:
                os.unlink(name, dir_fd=place)

    @contextmanager
    def _opened(self, names: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Give a descriptor of a folder, reached name by name."""
        place = os.open(self.folder.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in (self.folder.name, *_checked(names, empty=True)):
                below = _step(place, name, make=make)
                os.close(place)
                place = below
            yield place
        finally:
            os.close(place)


def _step(place: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=place)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=place)
        return os.open(name, _PASS, dir_fd=place)
    except NotADirectoryError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
            raise Outside(f"{name} is a link") from error
        raise


@contextmanager
def _file(place: int, name: str) -> Iterator[IO[bytes]]:
    try:
        descriptor = os.open(name, _READ, dir_fd=place)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Outside(f"{name} is a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Outside(f"{name} is no file")
    with os.fdopen(descriptor, "rb") as content:
        yield content


def _entries(place: int) -> Iterator[Entry]:
    readable = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=place)
    try:
        with os.scandir(readable) as found:
            for entry in found:
                mode = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(mode.st_mode):
                    yield Entry(name=entry.name, size=None)
                elif stat.S_ISREG(mode.st_mode) and not entry.name.startswith(_UNFINISHED):
                    yield Entry(name=entry.name, size=mode.st_size)
    finally:
        os.close(readable)


def _checked(names: Sequence[str], *, empty: bool = False) -> Sequence[str]:
    bad = [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]
    if bad or not (names or empty):
        raise Outside(f"{'/'.join(names) or 'the folder itself'} names no file below the folder")
    return names


def below(fences: Sequence[Fence], address: str) -> bool:
    """Whether a place is below one of the fences."""
    try:
        found(fences, address)
    except Outside:
        return False
    return True


def found(fences: Sequence[Fence], address: str) -> tuple[Fence, tuple[str, ...]]:
    """Return the fence that a place is below, and the way from there.

    Raises:
        Outside: there is none.
    """
    for fence in fences[:-1]:
        try:
            return fence, fence.names(address)
        except Outside:
            continue
    return fences[-1], fences[-1].names(address)


def path_of(address: str) -> str:
    """Return the path that an address names; "" where it is not one of this machine's files."""
    if not address.startswith("file:"):
        return url2pathname(address)  # as MLflow does it
    parts = urlsplit(address)
    local = not parts.netloc and not parts.query and not parts.fragment
    return url2pathname(parts.path) if local else ""


def _same(first: Path, second: Path) -> bool:
    try:
        return os.path.samestat(first.stat(), second.stat())
    except OSError:
        return False
