"""The code that runs execute: its commit, and a frozen copy that later edits cannot reach."""

import functools
import hashlib
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from difair_hpc.errors import UserError
from difair_hpc.files import write_atomically
from difair_hpc.folders import make_folder, make_own_folder, names_in, own_place, remove_folder, rename
from difair_hpc.nofollow import is_own

_COMMIT_FILE = Path("COMMIT")
"""File beside a frozen package that says what it was copied from."""


@functools.cache
def git_commit() -> str:
    """Return the commit of the package's checkout, with + for uncommitted changes, or 'none' outside a checkout."""
    folder = Path(__file__).parents[2]
    if (folder / _COMMIT_FILE).is_file():
        return (folder / _COMMIT_FILE).read_text("utf-8").strip()
    if not (folder / ".git").exists():
        return "none"
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, env=environment
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD")[:12] + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def freeze(root: Path, folders: Mapping[str, Path]) -> Path:
    """Copy the package and the user's files to `code/<digest>/` in this user's own place, once for equal content.

    Nobody else can change the copy. One that another user made, or could have changed, is not executed: this user gets
    a copy of their own.

    Args:
        root: Output root.
        folders: Name in the copy to a folder of YAML files that the jobs may read.

    Returns:
        The copy: a folder for `launch.python`.

    Raises:
        DiskFull, RootUnusable: it cannot be written.
        UserError: a file cannot be read; it is named.
    """
    package = Path(__file__).parents[1]
    files = {Path(package.name) / path.relative_to(package): path for path in _files(package, "*")}
    for name, folder in folders.items():
        files |= {Path(name) / path.relative_to(folder): path for path in _files(folder, "*.yaml")}
    try:
        content = {place: path.read_bytes() for place, path in sorted(files.items())}
    except OSError as error:
        message = f"{error.filename} cannot be read ({error.strerror}), and jobs get a copy of all such files"
        raise UserError(f"{message}: make it readable, or move it away.") from error
    digest = hashlib.sha256()
    for path, data in content.items():
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    name = digest.hexdigest()[:12]
    place = own_place(root) / "code"
    alike = [known for known in _copies(place, name) if _holds(known, content)]
    return next(filter(_is_own_throughout, alike), None) or _copied(place, name, content, alike)


def _holds(folder: Path, content: Mapping[Path, bytes]) -> bool:
    """Whether the folder holds exactly this; what a purge of old files has left does not count."""
    try:
        files = {path.relative_to(folder) for path in _files(folder, "*")}
        whole = files == content.keys() | {_COMMIT_FILE}
        return whole and all((folder / path).read_bytes() == data for path, data in content.items())
    except OSError:  # it is being removed, or is not for this user to read
        return False


def _copies(place: Path, name: str) -> list[Path]:
    return [place / one for one in names_in(place) if one.startswith(name)]


def _is_own_throughout(folder: Path) -> bool:
    return all(is_own(path) for path in [folder, *folder.rglob("*")])


def _copied(place: Path, name: str, content: Mapping[Path, bytes], alike: Sequence[Path]) -> Path:
    """Make a copy of this user's own; one of `alike` serves where the file system keeps no owners."""
    make_folder(place)
    copy = make_own_folder(place / f".{name}.{uuid.uuid4().hex}.tmp")
    if alike and not is_own(copy):
        copy.rmdir()
        return alike[0]
    for path, data in content.items():
        for folder in reversed(path.parents):
            make_own_folder(copy / folder)
        make_own_folder((copy / path).parent / "__pycache__")  # Python would make it by the root's mode
        write_atomically(copy / path, data, own=True)
    make_own_folder(copy / "own")
    write_atomically(copy / _COMMIT_FILE, git_commit() + "\n", own=True)
    target = place / name
    try:
        rename(copy, target)
    except OSError:  # another process was faster, or what stands there is not this user's
        if _holds(target, content) and _is_own_throughout(target):
            remove_folder(copy)
            return target
        target = rename(copy, place / f"{name}-{uuid.uuid4().hex[:6]}")
    return target


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.rglob(pattern) if path.is_file() and not _is_bytecode(path)]


def _is_bytecode(path: Path) -> bool:
    return "__pycache__" in path.parts
