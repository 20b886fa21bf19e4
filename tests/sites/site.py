"""A strange environment from its file, and the same short study carried out in it.

A site is one file in files/: what is strange there, and nothing else. Keys, all but `about` optional:
about, source (of a public report), executor (slurm: the model of front.py; local), folder (name of the working folder),
files (path below it: content), environment (FOLDER in a value is the working folder; null takes a variable away), words
(more words of `difair sweep`), profile (more keys), slurm (fields of the model), tools (program: hooks of front.py),
export (what the site enforces), node_files (of the folder in which jobs begin, where they cannot begin in theirs).
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from difair_hpc.runs.folder import RunFolder
from tests import forked, short
from tests.sites.slurm import Slurm
from tests.waiting import wait_for

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr", "srun", "slurmd")
PROGRAM = '#!/bin/sh\nexec {python} -S -E {front} "$0" "$@"\n'
FILES = Path(__file__).parent / "files"
KEYS = {
    *("about", "source", "executor", "folder", "files", "environment", "words", "profile", "slurm", "tools", "export"),
    "node_files",
}


@dataclass
class Site:
    """One site, set up below a folder of its own."""

    base: Path
    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = set(self.content) - KEYS
        assert not unknown, f"a site has no {unknown}"
        self.folder.mkdir(parents=True)
        (self.base / "home").mkdir()
        profile = {"executor": self.executor, "device": "cpu", "threads": 1, "parallel": 1, **self._waits}
        own = {
            "sweeps/one.yaml": short.search(1, "[6]"),
            "slurm/here.yaml": json.dumps(profile | self.content.get("profile", {})),
            **self.content.get("files", {}),
        }
        write(self.folder, own)
        if self.executor == "slurm":
            self._set_up_slurm()

    @property
    def executor(self) -> str:
        return str(self.content.get("executor", "slurm"))

    @property
    def _waits(self) -> dict[str, float]:
        return {"poll_seconds": 0.2} if self.executor == "slurm" else {}

    @cached_property
    def folder(self) -> Path:
        """The working folder."""
        return self.base / "at" / str(self.content.get("folder", "work"))

    def _set_up_slurm(self) -> None:
        strange = {key: self.content[key] for key in ("tools", "export") if key in self.content}
        if "node_files" in self.content:
            write(self.base / "node", self.content["node_files"])
            strange["folder"] = str(self.base / "node")
        write(
            self.base / "slurm",
            {
                "state.json": json.dumps(asdict(Slurm(**self.content.get("slurm", {})))),
                "site.json": json.dumps(strange),
                **{
                    f"bin/{name}": PROGRAM.format(python=sys.executable, front=Path(__file__).parent / "front.py")
                    for name in PROGRAMS
                },
            },
        )
        for name in PROGRAMS:
            (self.base / "slurm/bin" / name).chmod(0o755)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment of every command that is typed here."""
        path = f"{self.base / 'slurm/bin'}:{os.environ['PATH']}" if self.executor == "slurm" else os.environ["PATH"]
        given = {"PATH": path, "HOME": str(self.base / "home"), "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
        strange = self.content.get("environment", {})
        given |= {name: str(value).replace("FOLDER", str(self.folder)) for name, value in strange.items()}
        return {name: value for name, value in given.items() if strange.get(name, "") is not None}

    def typed(self, *words: str) -> str:
        """Type a command; return what it printed, which is no complaint of Python's."""
        done = forked.completed(words, cwd=self.folder, environment=self.environment)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert "internal error" not in said, said
        self.code = done.returncode
        return said

    def sweep(self, *words: str) -> str:
        """Type the command that runs the short study."""
        return self.typed("sweep", "one", "cluster=here", "tracking_uri=none", *self.content.get("words", ()), *words)

    def calls(self, tool: str) -> Sequence[Mapping[str, Any]]:
        """Return what was called of a program, the oldest first."""
        path = self.base / "slurm/calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call["tool"] == tool]

    def slurm(self) -> Slurm:
        """Return what the model holds at this moment."""
        return Slurm.of(json.loads((self.base / "slurm/state.json").read_text()))

    @property
    def root(self) -> Path:
        return self.folder / "outputs"

    def run(self) -> RunFolder:
        """Return the study's one run."""
        (path,) = (self.root / "runs").iterdir()
        return RunFolder(path)

    def await_end(self) -> None:
        """Wait until no job is left that has not ended."""
        wait_for("the jobs end", lambda: not list(self._live()), seen=self.logs)

    def _live(self) -> Iterator[str]:
        for job in self.slurm().jobs.values():
            yield from (task.state for task in job.tasks.values() if task.state in ("PENDING", "RUNNING"))

    def logs(self) -> str:
        """Return all that jobs have printed."""
        paths = [*sorted((self.root / "jobs").glob("*_log.*")), self.base / "slurm/slurmd.log"]
        return "".join(f"{path.name}: {path.read_text(errors='replace')}" for path in paths if path.is_file())


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def read(name: str) -> dict[str, Any]:
    """Return the content of a site's file."""
    return dict(yaml.safe_load((FILES / f"{name}.yaml").read_text()))
