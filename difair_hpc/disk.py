"""What the engine asks of file systems beyond reading and writing, and what stands for it where one lacks it.

Hard links are absent on FAT and some FUSE systems, locks on Lustre without `-o flock` and NFS without lockd.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ABSENT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that lack an operation; some say EPERM or EMLINK of hard links."""
_RENAME_NOREPLACE, _AT_FDCWD = 1, -100


def named_once(path: Path, copy: Path) -> bool:
    """Give a complete file its name in one step unless the name is taken; return whether this call did.

    The step is a hard link. Where there are none it is a rename that replaces nothing; where there is neither, the file
    is created and written then, so that a crash in between leaves it torn.
    """
    try:
        path.hardlink_to(copy)
    except FileExistsError:
        # NFS repeats a request whose answer is lost, and then finds the link that it has made itself: open(2).
        return copy.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in (*_ABSENT, errno.EPERM, errno.EMLINK):
            raise
        return _created(path, copy)
    return True


def rename_once(old: Path, new: Path) -> None:
    """Rename in one step that replaces nothing (renameat2).

    Raises:
        FileExistsError: `new` is there.
        OSError: ENOSYS or EINVAL where the system, or the file system, cannot do it.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:  # a C library older than glibc 2.28
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(old))
    if rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(old), None, str(new))


def to_disk(file: int) -> None:
    """Wait until a file is on the disk, where the file system can tell."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the operating system's lock on a file in the block; False: it cannot be made, or has no locks there."""
    try:
        file = path.open("w")
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # ENOSYS on Lustre without -o flock, ENOLCK on NFS without lockd
            yield False
            return
        yield True


def _created(path: Path, copy: Path) -> bool:
    """Create `path` with what the complete copy holds unless it is there, on a file system without hard links."""
    try:
        rename_once(copy, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    else:
        return True
    mode = copy.stat().st_mode & 0o777
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:  # noqa: PTH123 - no opener there
            file.write(copy.read_bytes())
            file.flush()
            to_disk(file.fileno())
    except FileExistsError:
        return False
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True
