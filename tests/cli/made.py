"""The command line under test: in this process, or as a process of its own that a test may kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.config import build_run
from difair_hpc.runs.folder import RunFolder, run_folder
from tests import forked, short
from tests.sweep.made import fail, finish
from tests.waiting import eventually

TINY = short.short(2)
TINY_WORDS = short.words(TINY)


def created(root: Path, **keys: object) -> RunFolder:
    """Make the folder of a run that was never started."""
    spec = build_run(TINY, keys)
    folder = run_folder(root, spec.signature)
    folder.create(spec)
    return folder


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command, with one thread for everything."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **more}


def command(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `difair` to its end in a process of its own."""
    return forked.completed(words, cwd=cwd, environment=environment())


def typed(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `difair` to its end from its start, as a shell would: where command lines or starts are the point."""
    start = [sys.executable, "-m", "difair_hpc", *words]
    return subprocess.run(start, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)


class Running:
    """`difair` at work in a session of its own, as in a terminal of its own; use as a context manager."""

    def __init__(self, *words: str, cwd: Path) -> None:
        self.out = cwd / f"out-{time.time_ns()}.txt"
        with self.out.open("wb") as file:
            self.process = forked.started(words, cwd=cwd, out=file, environment=environment())
        self.pid = self.process.pid

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        """End what a failed test left behind, in the process group that this test started."""
        if self.alive():
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def text(self) -> str:
        return self.out.read_text()

    def alive(self) -> bool:
        """Whether any process of the group still lives (zombies do not)."""
        return bool(members(self.pid))


def members(group: int) -> list[int]:
    """Return the live processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and int(fields[2]) == group:
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object], *, running: Running | None = None) -> None:
    """Wait for something, and show what the command said if it does not come."""
    assert eventually(condition), f"it hangs: {running.text() if running else ''}"


def files(folder: Path) -> Mapping[Path, bytes]:
    """Return every file under a folder with its content."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def set_up_site(folder: Path, monkeypatch: pytest.MonkeyPatch, sweep: str) -> None:
    """Stand in a folder with the sweep file `one`, where SLURM's commands answer nothing until `say` writes them."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    (folder / "sweeps").mkdir()
    (folder / "sweeps" / "one.yaml").write_text(sweep)
    (folder / "bin").mkdir()
    for name in ("squeue", "sbatch", "scontrol", "sacctmgr"):
        say(folder, name, "exit 0")


def say(folder: Path, name: str, body: str) -> None:
    """Let a command of SLURM be this script."""
    program = folder / "bin" / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def described(root: Path, study: str, stages: Iterable[Mapping[str, Any]]) -> None:
    """Write what a study says of itself."""
    place = root / "studies" / study
    place.mkdir(parents=True)
    (place / "study.json").write_text(json.dumps({"study": study, "stages": list(stages)}), "utf-8")


def half_finished(root: Path) -> dict[str, str]:
    """A study whose search is over and whose final stage has begun; return name to signature."""
    runs = {
        "two": created(root, **{"method.alpha": 2}),
        "six": created(root, **{"method.alpha": 6}),
        "rival": created(root, method="cac"),
        "bad": created(root, method="cross_entropy"),
        "new": created(root, split=1),
    }
    for name in ("two", "six", "rival"):
        finish(root, runs[name].signature)
    fail(root, runs["bad"].signature, "ValueError: [red]made up[/red]")
    trial = {name: {"number": 0, "signature": folder.signature} for name, folder in runs.items()}
    described(
        root,
        "mini",
        [
            {
                "name": "coarse",
                "search": "grid",
                "planned": 2,
                "complete": True,
                "trials": [
                    trial["two"] | {"parameters": {"method.alpha": 2}},
                    trial["six"] | {"parameters": {"method.alpha": 6}},
                ],
                "chosen": [{"method.alpha": 6}],
                "reasons": ["Six is best."],
            },
            {
                "name": "final",
                "search": "final",
                "planned": 5,
                "complete": False,
                "trials": [
                    trial[name] | {"parameters": {"benchmark": "digits", "method": name, "split": 0}}
                    for name in ("six", "rival", "bad", "new")
                ],
                "chosen": [],
                "reasons": [],
            },
        ],
    )
    return {name: folder.signature for name, folder in runs.items()}
