"""Reading and writing below one folder alone, in which others may write too: no link is followed, at any moment."""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from difair_hpc.errors import RootUnusable
from difair_hpc.files import write_from
from difair_hpc.folders import make_folder
from difair_hpc.nofollow import Untrusted, opened, reached


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
            with self._inside(), reached(self._path(names, empty=True) / "x", below=self._above) as (place, _):
                return sorted(_entries(place), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def copy_out(self, names: Sequence[str], target: Path) -> None:
        """Copy a file to a place outside.

        Raises:
            Outside: it is a link, a folder or no file.
            OSError: it is not there, or cannot be read.
        """
        with self._inside():
            source = opened(self._path(names), os.O_RDONLY, below=self._above)
        with os.fdopen(source, "rb") as content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy)

    def copy_in(self, source: Path, names: Sequence[str]) -> None:
        """Copy a file from outside to a place inside, in one step; folders are made, a file or link is replaced."""
        path = self._path(names)
        with self._inside(), source.open("rb") as content:
            make_folder(path.parent, below=self._above)
            write_from(content, path, below=self._above)

    def remove(self, names: Sequence[str]) -> None:
        """Remove a file, a link, or a folder with all that is in it; nothing where there is none."""
        path = self._path(names)
        with (
            suppress(FileNotFoundError),
            self._inside(),
            reached(path, follow=False, below=self._above) as (place, name),
        ):
            if stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=place)
            else:
                os.unlink(name, dir_fd=place)

    @property
    def _above(self) -> Path:
        return self.folder.parent

    def _path(self, names: Sequence[str], *, empty: bool = False) -> Path:
        return self.folder.joinpath(*_checked(names, empty=empty))

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Raise `Outside` where a link, or something that is no file, is in the way."""
        try:
            yield
        except Untrusted as error:
            raise Outside(f"{Path(error.filename).relative_to(self._above)} is {error.strerror}") from error
        except RootUnusable as error:
            raise Outside(str(error)) from error


def _entries(place: int) -> Iterator[Entry]:
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
    try:
        with os.scandir(readable) as found:
            for entry in found:
                mode = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(mode.st_mode):
                    yield Entry(name=entry.name, size=None)
                elif stat.S_ISREG(mode.st_mode) and not _is_unfinished(entry.name):
                    yield Entry(name=entry.name, size=mode.st_size)
    finally:
        os.close(readable)


def _is_unfinished(name: str) -> bool:
    """Whether a file is being written (files.py)."""
    return name.startswith(".") and name.endswith(".tmp")


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
