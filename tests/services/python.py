"""A Python that every user of this machine may execute: as root the services start MLflow as another user."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


@functools.cache
def everybodys_python() -> tuple[str, ...]:
    """Return the words that start the Python of these tests, or one like it where root alone may pass to that.

    It is made of hard links beside the packages of these tests, which others can read.
    """
    if os.geteuid() != 0 or _is_everybodys(sys.executable):
        return (sys.executable,)
    base = Path(tempfile.mkdtemp(prefix="difair-python-"))
    atexit.register(shutil.rmtree, base)
    base.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    left_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "ensurepip", "*.a")
    source = Path(sys.base_prefix)
    shutil.copytree(source / "lib" / version, base / "base/lib" / version, copy_function=_linked, ignore=left_out)
    for library in (source / "lib").glob("libpython*.so*"):
        _linked(str(library), str(base / "base/lib" / library.name))
    for folder in ("base/bin", "venv/bin"):
        (base / folder).mkdir(parents=True)
    _linked(str(Path(sys.executable).resolve()), str(base / "base/bin" / version))
    (base / "venv/bin/python").symlink_to(base / "base/bin" / version)
    (base / "venv/lib").symlink_to(Path(sys.prefix) / "lib")
    (base / "venv/pyvenv.cfg").write_text(f"home = {base}/base/bin\n")
    found = ("env", f"LD_LIBRARY_PATH={base}/base/lib", str(base / "venv/bin/python"))
    assert _is_everybodys(*found), f"{sys.prefix} or this checkout cannot be read by everybody"
    return found


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)


def _is_everybodys(*python: str) -> bool:
    command = [*python, "-c", "import difair_hpc, mlflow.version, psycopg"]
    try:
        done = subprocess.run(command, user="nobody", group="nogroup", extra_groups=[], cwd="/", check=False)
    except PermissionError:
        return False
    return done.returncode == 0
