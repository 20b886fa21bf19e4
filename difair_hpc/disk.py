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

from difair_hpc.nofollow import opened

_ABSENT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that lack an operation; some say EPERM or EMLINK of hard links."""
_RENAME_NOREPLACE = 1


def named_once(folder: int, name: str, copy: str) -> bool:
    """Give a complete file its name in one step unless the name is taken; return whether this call did.

    The step is a hard link. Where there are none it is a rename that replaces nothing; where there is neither, the file
    is created and written then, so that a crash in between leaves it torn.

    Args:
        folder: Descriptor of the folder of both.
        name: That it is to have.
        copy: Name of the complete file, which goes or stays.
    """
    try:
        os.link(copy, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        # NFS repeats a request whose answer is lost, and then finds the link that it has made itself: open(2).
        return os.stat(copy, dir_fd=folder, follow_symlinks=False).st_nlink == 2
    except OSError as error:
        if error.errno not in (*_ABSENT, errno.EPERM, errno.EMLINK):
            raise
        return _created(folder, name, copy)
    return True


def rename_once(folder: int, old: str, new: str) -> None:
    """Rename in a folder in one step that replaces nothing (renameat2).

    Raises:
        FileExistsError: `new` is there.
        OSError: ENOSYS or EINVAL where the system, or the file system, cannot do it.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:  # a C library older than glibc 2.28
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), old)
    if rename(folder, os.fsencode(old), folder, os.fsencode(new), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


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
        file = opened(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # ENOSYS on Lustre without -o flock, ENOLCK on NFS without lockd
            yield False
            return
        yield True
    finally:
        os.close(file)


def _created(folder: int, name: str, copy: str) -> bool:
    """Create a file with what the complete copy holds unless it is there, on a file system without hard links."""
    try:
        rename_once(folder, copy, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    else:
        return True
    source = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with open(source, "rb") as complete:  # noqa: PTH123 - a descriptor
        mode = os.fstat(source).st_mode & 0o777
        try:
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
        except FileExistsError:
            return False
        try:
            with open(target, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(complete.read())
                file.flush()
                to_disk(file.fileno())
        except OSError:
            os.unlink(name, dir_fd=folder)  # noqa: PTH108 - in a folder by its descriptor
            raise
    return True
