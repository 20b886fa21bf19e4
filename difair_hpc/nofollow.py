"""Paths that others can change: reached folder by folder, and no link that others could have made is followed.

Whoever can write in a folder can put a symbolic link at any name in it, at any moment: a look before the opening proves
nothing. So each step of a path is opened relative to the folder before it (openat(2)), and what is done, is done
relative to the last one.

How an output root is reached is its user's affair (`root_at`); what lies below it is everybody's who can write there.
"""

import errno
import functools
import grp
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_STEP = _FOLDER | os.O_NOFOLLOW
_MOST_LINKS = 40
_NOT_A_FILE = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link",
}  # fmt: skip

_UNMAPPED = 65534
"""As whose root's own folders appear in a container without root."""
_roots: set[str] = set()


class Untrusted(OSError):
    """What stands at a path is nothing that may be followed, read or written there; `strerror` says what it is."""

    def __init__(self, path: Path | str, what: str) -> None:
        """Say what stands there."""
        super().__init__(errno.ELOOP, what, str(path))


class NotAFile(Untrusted):
    """What stands at the path itself is no regular file, such as a pipe, or a link that others could have made."""


def root_at(path: Path) -> Path:
    """Declare an output root, whose own path may have any links, for the rest of this process; return it."""
    _roots.add(str(path))
    return path


def is_root(path: Path) -> bool:
    """Whether a path is that of a declared output root."""
    return str(path) in _roots


@contextmanager
def reached(path: Path, *, follow: bool = True, below: Path | None = None) -> Iterator[tuple[int, str]]:
    """Give the descriptor of the folder that holds `path`, and the name there, for the block.

    Args:
        path: Of a file or folder; it need not exist, its folder has to.
        follow: Whether a link at the path itself is followed, where nobody else could have made it; else it is meant.
        below: A folder above, which may have any links in its own path; below it none is followed, whoever made it.

    Raises:
        Untrusted: a link on the way could be somebody else's.
        OSError: a folder on the way is absent, or cannot be entered.
    """
    folder, name = _reach(path, follow=follow, below=below)
    try:
        yield folder, name
    finally:
        os.close(folder)


def opened(path: Path, flags: int, mode: int = 0o666, *, below: Path | None = None) -> int:
    """Open a regular file and return its descriptor; nobody waits for the other end of a pipe.

    Args:
        path: Of the file.
        flags: Such as os.O_RDONLY; with os.O_TRUNC the content goes once it is known that this is a file.
        mode: Of a new one, before the umask.
        below: As of `reached`.

    Raises:
        NotAFile: it is no regular file.
        Untrusted: a link on the way could be somebody else's; or it is to be written, others can write in its folder,
            and it has another name somewhere.
        OSError: it is absent, or not for this user.
    """
    with reached(path, follow=not flags & os.O_EXCL, below=below) as (folder, name):
        try:
            safe = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(name, safe, mode, dir_fd=folder)
        except OSError as error:
            raise _named(error, path, _kind(folder, name)) from error
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise NotAFile(path, _what(found))
            writes = flags & (os.O_WRONLY | os.O_RDWR)
            if writes and found.st_nlink > 1 and others_write(os.fstat(folder)):
                raise Untrusted(path, "a file that has another name elsewhere (a hard link)")
            if flags & os.O_TRUNC:
                os.ftruncate(file, 0)
        except BaseException:
            os.close(file)
            raise
        return file


def is_own(path: Path) -> bool:
    """Whether this user alone can have written the file, or what the folder lists; False: it is not there."""
    try:
        with reached(path, follow=False) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError, Untrusted):
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & OTHERS_WRITE and not stat.S_ISLNK(found.st_mode)


def others_write(found: os.stat_result) -> bool:
    """Whether anybody but its owner and root may write a file, or in a folder."""
    by_group = found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid)
    return bool(found.st_mode & stat.S_IWOTH or by_group)


def is_shared(folder: Path) -> bool:
    """Whether somebody else than this user and root can write in a folder, or owns it."""
    found = folder.stat()
    return found.st_uid not in _ours() or others_write(found)


def others_replace(path: Path) -> Path | None:
    """Return where somebody else could change what stands at a path: the path itself, or a folder above; None: nowhere.

    Root is nobody else, and in a folder with the sticky bit each replaces what is their own.
    """
    places = dict.fromkeys([path.absolute(), path.resolve()])
    return next((found for place in places if (found := _open_to_others(place)) is not None), None)


def _open_to_others(path: Path) -> Path | None:
    inner = path.stat() if path.exists() else None
    if inner is not None and (inner.st_uid not in _ours() or others_write(inner)):
        return path
    for place in path.parents:
        if not place.exists():
            continue
        outer = place.stat()
        held = outer.st_mode & stat.S_ISVTX and (inner is None or inner.st_uid in _ours())
        if outer.st_uid not in (*_ours(), _UNMAPPED) or (others_write(outer) and not held):
            return place
        inner = outer
    return None


def _reach(path: Path, *, follow: bool, below: Path | None) -> tuple[int, str]:
    here, todo = _start(path, below)
    links = 0
    try:
        while todo:
            name = todo.popleft()
            if not todo and not follow:
                return here, name
            if todo and (step := _step(here, name)) is not None:
                os.close(here)
                here = step
                continue
            target = _target(here, name)
            if target is None:
                if not todo:
                    return here, name
                here = _entered(here, name, path)
                continue
            links += 1
            if below is not None or links > _MOST_LINKS or not _may_be_followed(here, name):
                what = f"a symbolic link ({name})" + ("" if below is not None else " that others could have made")
                raise Untrusted(path, f"a path through {what}") if todo else NotAFile(path, what)
            if target.startswith("/"):
                here = _entered(here, "/", path)
            todo.extendleft(reversed(_parts(target)))
    except BaseException:
        os.close(here)
        raise
    return here, "."


def _start(path: Path, below: Path | None) -> tuple[int, deque[str]]:
    """Return the folder from which a path is followed step by step, which may be an output root, and the steps."""
    text = str(path)
    if "\0" in text:
        raise NotAFile(path, "a name with a zero byte")
    root = (
        str(below) if below is not None else max((one for one in _roots if _is_below(text, one)), key=len, default="")
    )
    if not root:
        return os.open("/" if text.startswith("/") else ".", _FOLDER), deque(_parts(text))
    steps = deque(_parts(text[len(root) :]))
    if ".." in steps:
        raise Untrusted(path, "a path that leaves its output root")
    return os.open(root, _FOLDER), steps


def _is_below(path: str, root: str) -> bool:
    """Whether a path is that of a root, or of something below it; by its text, since this is asked for every file."""
    return path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/" or root == "/")


def _step(folder: int, name: str) -> int | None:
    """Open a folder in a folder; None: it is none, or a link."""
    try:
        return os.open(name, _STEP, dir_fd=folder)
    except OSError:
        return None


def _entered(folder: int, name: str, path: Path) -> int:
    """Open a folder in a folder, and close that."""
    try:
        step = os.open(name, _STEP, dir_fd=folder)
    except OSError as error:
        raise _named(error, path, "") from error
    os.close(folder)
    return step


def _target(folder: int, name: str) -> str | None:
    """Return where a link leads; None: there is no link of this name."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _may_be_followed(folder: int, name: str) -> bool:
    """Whether a link was made by this user or by root, and is not for others to replace."""
    place, link = os.fstat(folder), os.stat(name, dir_fd=folder, follow_symlinks=False)
    kept = not others_write(place) or bool(place.st_mode & stat.S_ISVTX)
    return place.st_uid in _ours() and link.st_uid in _ours() and kept


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _ours() -> tuple[int, int]:
    return (0, os.geteuid())


def _kind(folder: int, name: str) -> str:
    """Return what stands at a name, in words; nothing where it is a file, or absent."""
    try:
        return _what(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return ""


def _what(found: os.stat_result) -> str:
    return _NOT_A_FILE.get(stat.S_IFMT(found.st_mode), "")


def _named(error: OSError, path: Path, what: str) -> OSError:
    """Return an error of one step with the whole path; one that comes from what stands there says what that is."""
    if what and error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR):
        return NotAFile(path, what)
    return OSError(error.errno, error.strerror, str(path))


@functools.cache
def _is_own_group(number: int) -> bool:
    """Whether a group has this user alone, as many systems make one for each user."""
    try:
        group, own = grp.getgrgid(number), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == own and set(group.gr_mem) <= {own}
