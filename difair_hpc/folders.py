"""Folders of an output root: made, listed and emptied where they are, whatever links others have put there."""

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from difair_hpc.errors import DifairError, DiskFull, Failure, RootUnusable, Unreadable
from difair_hpc.nofollow import OTHERS_WRITE, Untrusted, is_root, others_replace, reached

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where there is no folder.

    Raises:
        Unreadable: this user may not look, or the way leads through a link that others could have made.
    """
    with readable(folder):
        try:
            with reached(folder) as (above, name):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                opened = os.open(name, flags, dir_fd=above)
            try:
                return sorted(os.listdir(opened))  # noqa: PTH208 - of a descriptor
            finally:
                os.close(opened)
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise


def entry(path: Path) -> os.stat_result | None:
    """Return what stands at a path, a link as a link, or None where nothing does.

    Raises:
        Unreadable: the way there is not for this user, or leads through a link that others could have made.
    """
    with readable(path):
        try:
            with reached(path, follow=False) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise


def exists(path: Path) -> bool:
    """Whether anything stands at a path, a link to nothing included; raises as `entry` does."""
    return entry(path) is not None


def may_exist(path: Path) -> bool:
    """Whether something stands at a path, or it cannot be seen whether: who reads it then says why it cannot."""
    try:
        return exists(path)
    except Unreadable:
        return True


def make_folder(path: Path, *, below: Path | None = None) -> Path:
    """Make the folder and those above it, where they are absent, and return it.

    Args:
        path: Of the folder.
        below: As of `nofollow.reached`.

    Raises:
        RootUnusable: it cannot be made, something else has its name, or the way leads through a link that others could
            have made.
        DiskFull: no space is left there.
    """
    with writable(path):
        _make(path, below)
    return path


def make_own_folder(path: Path) -> Path:
    """Make the folder, and those above it, so that nobody else may put something into it; return it.

    Raises:
        RootUnusable: it is another user's, or cannot be made.
        DiskFull: no space is left there.
    """
    make_folder(path)
    with writable(path), reached(path) as (above, name):
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            mode = os.fstat(folder).st_mode
            if mode & OTHERS_WRITE:
                os.fchmod(folder, stat.S_IMODE(mode) & ~OTHERS_WRITE)
        finally:
            os.close(folder)
    return path


def remove(path: Path) -> bool:
    """Remove a file, a link as a link; return whether there was one.

    Raises:
        RootUnusable, Failure: it cannot be removed.
    """
    with writable(path):
        try:
            with reached(path, follow=False) as (folder, name):
                os.unlink(name, dir_fd=folder)  # noqa: PTH108 - in a folder by its descriptor
        except FileNotFoundError:
            return False
    return True


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it; links in it are removed and not followed.

    Raises:
        RootUnusable, Failure: it cannot be removed.
    """
    with writable(path), reached(path, follow=False) as (folder, name):
        shutil.rmtree(name, dir_fd=folder)


def rename(old: Path, new: Path) -> Path:
    """Give a file or folder another name, and return that.

    Raises:
        OSError: that is not possible, such as to the name of a folder that is not empty.
    """
    with reached(old, follow=False) as (here, name), reached(new, follow=False) as (there, other):
        os.rename(name, other, src_dir_fd=here, dst_dir_fd=there)  # noqa: PTH104 - in folders by their descriptors
    return new


def require_closed(root: Path) -> None:
    """Refuse an output root in which everybody can write: nothing in it could be relied on.

    Raises:
        RootUnusable: names the folder, and what to do.
    """
    mode = root.stat().st_mode if root.is_dir() else 0
    if mode & stat.S_IWOTH:
        raise RootUnusable(
            f"root={root} is writable for everybody (mode {stat.S_IMODE(mode):o}), so anybody could change its runs: "
            f"chmod o-w {root}, or choose another folder with root=FOLDER. A team's belongs to its group, mode 2770."
        )


def keep_private(root: Path) -> None:
    """Let what this process makes be as private as the output root: a new one is nobody else's (0700).

    Whoever shares a root with a group says so by its mode, such as `chmod 2770`: what is made below it follows.

    Raises:
        RootUnusable: everybody can write in it.
    """
    require_closed(root)
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


def usable_folder(path: Path, *, key: str) -> Path:
    """Create the folder if needed, prove that it can be written, and return it.

    Raises:
        RootUnusable: it is no folder, or cannot be created or written; the message names `key`.
        DiskFull: no space is left there.
    """
    probe = f".probe-{uuid.uuid4().hex}"
    try:
        _make(path, None)
        with reached(path / probe, follow=False) as (folder, _):
            file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.write(file, b"x")
            finally:
                os.close(file)
                os.unlink(probe, dir_fd=folder)  # noqa: PTH108 - in a folder by its descriptor
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path) from error
        message = f"{key}={path} cannot be written ({_why(error)}); choose another folder with {key}=FOLDER."
        raise RootUnusable(message) from error
    return path


def own_place(root: Path) -> Path:
    """Return where this user keeps what programs find by its name alone: code, logs and scripts of jobs, SQLite's file.

    That is the output root. But whoever can write in a folder can put something else in the place of a name, at any
    moment; so where others write in the root, or in a folder above it, it is a folder in the user's home (or below
    XDG_STATE_HOME).
    """
    if not root.exists() or others_replace(root) is None:
        return root.absolute()
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    which = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    return state / "difair" / f"{root.name}-{which}"


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Say in one message why something could not be written, removed or made.

    Raises:
        DiskFull, RootUnusable, Failure: in place of the system's error.
    """
    try:
        yield
    except DifairError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path.parent) from error
        if isinstance(error, Untrusted):
            raise RootUnusable(f"{error.filename} cannot be written: it is {error.strerror}. Remove it.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RootUnusable(f"{path} cannot be written ({error.strerror}); check who owns {path.parent}.") from error
        raise Failure(f"{path} could not be written: {error.strerror}.") from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say in one message why something cannot be read.

    Raises:
        Unreadable: in place of the system's error.
    """
    try:
        yield
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_why(error)}.") from error


def _make(path: Path, below: Path | None) -> None:
    if is_root(path):
        path.mkdir(parents=True, exist_ok=True)
        return
    try:
        with reached(path, below=below) as (folder, name):
            _made(folder, name)
    except FileNotFoundError:
        if path.parent == path:
            raise
        _make(path.parent, below)
        with reached(path, below=below) as (folder, name):
            _made(folder, name)


def _made(folder: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=folder)  # noqa: PTH102 - in a folder by its descriptor
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise


def _why(error: OSError) -> str:
    return f"it is {error.strerror}" if isinstance(error, Untrusted) else str(error.strerror)


def _full(folder: Path) -> DiskFull:
    return DiskFull(f"no space is left for {folder}; free some and repeat the command: nothing written so far is lost.")
