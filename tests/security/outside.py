"""What lies outside of the root: the home of the victim, and how to see whether anything there was touched."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.security.kept import everything
from tests.security.made import SWEEP

SECRET = "difairsec-secret-of-the-victim"
"""Stands in his private files; nobody else may ever see it."""
PASSWORD = "difairsec-password-of-the-victim"
"""For MLflow and PostgreSQL, where their libraries look for it."""
TOKEN = "difairsec-token-of-the-victim"
"""In his environment."""
_NUMBERED = ("0001.json", "0002.beat.json", "3.txt", "0004.answer.json", "report.html", "table1.csv", "training.png")
"""Names that a folder of difair's may have as well."""
LARGE_BYTES = 2**26
"""Content of a larger file is not looked at."""


def furnish(home: Path, common: Path) -> None:
    """Fill the home of the victim, and write a file of the whole team's."""
    private = {
        "secret.txt": f"{SECRET}\n",
        "diary.err": f"dear diary: {SECRET}\n",
        "diary.out": f"dear diary: {SECRET}\n",
        ".mlflow/credentials": f"[mlflow]\nmlflow_tracking_username = alice\nmlflow_tracking_password = {PASSWORD}\n",
        ".pgpass": f"*:*:*:*:{PASSWORD}\n",
    }
    public = {".bashrc": "# mine\n", "work/sweeps/mini.yaml": SWEEP}
    public |= {f"prey/{name}": f"{name} of mine\n" for name in _NUMBERED}
    for files, mode in ((private, 0o600), (public, 0o644)):
        for name, content in files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
            path.chmod(mode)
    (home / "prey/deep").mkdir()
    (home / "baits").mkdir()
    common.write_text("of the whole team\n", "utf-8")
    common.chmod(0o660)


def snapshot(*folders: Path) -> dict[str, object]:
    """Return all below folders: kind, mode, owner, moment of the last change, and content or target."""
    found: dict[str, object] = {}
    for folder in folders:
        for path in (folder, *everything(folder)):
            info = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(info.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(info.st_mode):
                content = path.read_bytes() if info.st_size < LARGE_BYTES else info.st_size
            found[str(path)] = (oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, content)
    return found


def differences(before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            word = "was created outside" if old is None else "was deleted outside" if new is None else "was changed"
            yield f"{path} {word}: {str(old)[:150]} -> {str(new)[:150]}"
