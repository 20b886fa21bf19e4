"""Folders that are put back as they were, and what was changed in them meanwhile.

Whether a file was touched is told by its number and the moment of its last change, which nobody but the system sets.
"""

import os
import shutil
import stat
from pathlib import Path

_Mark = tuple[int, ...]


class Kept:
    """A copy of a folder, and how each file of the folder was when it was last equal to the copy."""

    def __init__(self, folder: Path, copy: Path) -> None:
        """Make the copy."""
        self._folder = folder
        self._copy = copy
        copied(folder, copy)
        self._marks = _marks(folder)

    def changed(self) -> list[Path]:
        """Return the files and links that are new, or were touched."""
        return [path for path, mark in _marks(self._folder).items() if self._marks.get(path) != mark and len(mark) > 3]

    def restore(self) -> None:
        """Make the folder equal to the copy again."""
        now = _marks(self._folder)
        for path in reversed([path for path in now if path not in self._marks]):
            remove(path)
        anew: set[Path] = set()
        for path, mark in self._marks.items():
            if now.get(path) != mark and not any(above in anew for above in path.parents):
                remove(path)
                copied(self._copy / path.relative_to(self._folder), path)
                anew.add(path)
        if anew or now.keys() != self._marks.keys():
            self._marks = _marks(self._folder)


def everything(folder: Path) -> list[Path]:
    """Return all below a folder, what is above first; a link is not followed."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        found += [Path(place) / name for name in (*folders, *files)]
    return sorted(found)


def _marks(folder: Path) -> dict[Path, _Mark]:
    return {path: _mark(path) for path in (folder, *everything(folder))}


def _mark(path: Path) -> _Mark:
    info = os.lstat(path)
    mark = info.st_mode, info.st_uid, info.st_gid
    return mark if stat.S_ISDIR(info.st_mode) else (*mark, info.st_ino, info.st_ctime_ns, info.st_size)


def copied(source: Path, target: Path) -> None:
    """Copy a file, link or folder with owners, modes and times."""
    info = os.lstat(source)
    if stat.S_ISLNK(info.st_mode):
        target.symlink_to(source.readlink())
        os.lchown(target, info.st_uid, info.st_gid)
        return
    if stat.S_ISDIR(info.st_mode):
        target.mkdir()
        for path in source.iterdir():
            copied(path, target / path.name)
    else:
        shutil.copyfile(source, target)
    os.chown(target, info.st_uid, info.st_gid)
    target.chmod(stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
