"""The code that runs execute: its commit, and a frozen copy that later edits cannot reach."""

import functools
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from difair_hpc.files import write_atomically

_COMMIT = "COMMIT"
"""File beside a frozen package that says what it was copied from."""


@functools.cache
def git_commit() -> str:
    """Return the commit of the package's checkout, with + for uncommitted changes, or 'none' outside a checkout."""
    folder = Path(__file__).parents[2]
    if (folder / _COMMIT).is_file():
        return (folder / _COMMIT).read_text("utf-8").strip()
    if not (folder / ".git").exists():
        return "none"
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    try:
        return git("rev-parse", "HEAD")[:12] + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def freeze(root: Path, folders: Mapping[str, Path]) -> Path:
    """Copy the package and the user's files to `code/<digest>/` under the output root, once for equal content.

    Args:
        root: Output root.
        folders: Name in the copy to a folder of YAML files that the jobs may read.

    Returns:
        The copy: a folder to put on PYTHONPATH.

    Raises:
        DiskFull, RootUnusable: it cannot be written.
    """
    package = Path(__file__).parents[1]
    files = {Path(package.name) / path.relative_to(package): path for path in _files(package, "*")}
    for name, folder in folders.items():
        files |= {Path(name) / path.relative_to(folder): path for path in _files(folder, "*.yaml")}
    content = {place: path.read_bytes() for place, path in sorted(files.items())}
    digest = hashlib.sha256()
    for path, data in content.items():
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    target = root / "code" / digest.hexdigest()[:12]
    if target.is_dir():
        return target
    copy = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    for path, data in content.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(copy / path, data)
    (copy / "own").mkdir(exist_ok=True)
    write_atomically(copy / _COMMIT, git_commit() + "\n")
    try:
        copy.rename(target)
    except OSError:  # another process was faster: its copy is the same
        shutil.rmtree(copy)
        if not target.is_dir():
            raise
    return target


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.rglob(pattern) if path.is_file() and path.parent.name != "__pycache__"]
