"""Waves of jobs on disk, `studies/<name>/waves/`: what was submitted, what sbatch answered, and how each job ended.

`0007.json` is written before sbatch; `0007.answer.json` after it; `0007.ends.json` grows as jobs leave the queue, and
`0007.releases.json` as held ones are released. So a job that SLURM accepted while sbatch failed, or while its submitter
died, is known by the number in its name.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from difair_hpc.files import Form, fits, parse_json, read_owned, write_atomically, write_once
from difair_hpc.folders import make_own_folder, names_in
from difair_hpc.sweep.jobs import JobEnd

_WAVE = {"jobs": [[str]], "begun?": [int], "time": float}
_ANSWER = {"id?": re.compile(r"[0-9]*"), "time?": float, "error?": str, "refused?": bool}
_END = {"id?": str, "state?": str, "node?": str, "time?": float, "begun?": int}


@dataclass(kw_only=True, slots=True)
class Wave:
    """One array of jobs."""

    number: int
    path: Path
    """Its file."""
    jobs: list[list[str]]
    """Signatures of the runs of each task."""
    begun: list[int]
    """Attempts at the first run of each task when it was submitted."""
    time: float
    """When it was put on disk, seconds since 1970."""
    id: str = ""
    """SLURM's number of the array; empty while nobody knows it."""
    answered: float = 0.0
    """When sbatch answered; 0: it has not."""
    refused: bool = False
    """Whether SLURM itself said that it did not take the wave."""
    seen: bool = False
    """Whether this process has seen it in the queue."""
    ends: dict[int, JobEnd] = field(default_factory=dict)
    """How tasks left the queue."""
    releases: dict[int, list[float]] = field(default_factory=dict)
    """When tasks were released that a node could not start, seconds since 1970."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.refused or len(self.ends) == len(self.jobs)

    def job_id(self, task: int) -> str:
        """Return SLURM's name of a task, or nothing while nobody knows it."""
        return f"{self.id}_{task}" if self.id else ""


class Waves:
    """The waves of one study; only the holder of its lease writes."""

    def __init__(self, folder: Path) -> None:
        """Read from the folder; it need not exist."""
        self._folder = folder
        self._known: dict[int, Wave] = {}
        self._first: dict[str, list[tuple[Wave, int]]] = {}

    def read(self) -> list[Wave]:
        """Return the waves by number, after a look at the disk; what is there for good is read once."""
        for name in names_in(self._folder):
            path, (number, _, rest) = self._folder / name, name.partition(".")
            if rest != "json" or not number.isdecimal() or int(number) in self._known:
                continue
            if (content := _own(path, _WAVE)) is not None and all(content["jobs"]):
                self._keep(_wave(int(number), path, content))
        waves = list(self._known.values())
        for wave in waves:
            if not wave.over:
                _refresh(wave)
        return waves

    def of_array(self, job: str) -> Wave | None:
        """Return the wave that SLURM knows by this number, among those that were read."""
        return next((wave for wave in reversed(self._known.values()) if wave.id == job), None)

    def that_begin(self, signature: str) -> list[tuple[Wave, int]]:
        """Return the waves and tasks whose first run this is, among those that were read."""
        return self._first.get(signature, [])

    def _keep(self, wave: Wave) -> None:
        self._known[wave.number] = wave
        for task, runs in enumerate(wave.jobs):
            self._first.setdefault(runs[0], []).append((wave, task))

    def add(self, content: Mapping[str, Any]) -> Wave:
        """Put the next wave on disk before it is submitted; `content` has at least jobs and begun."""
        make_own_folder(self._folder)
        self.read()
        numbers = [name.partition(".")[0] for name in names_in(self._folder)]  # a damaged wave keeps its number
        taken = [int(number) for number in numbers if number.isdecimal()]
        number = 1 + max(taken, default=0)
        path = self._folder / f"{number:04d}.json"
        whole = {**content, "time": time.time()}
        made = write_once(path, json.dumps(whole), own=True)
        assert made, "the holder of the study's lease alone makes waves"
        wave = _wave(number, path, whole)
        self._keep(wave)
        return wave

    def answer(self, wave: Wave, *, job: str = "", error: str = "", refused: bool = False) -> None:
        """Put on disk what sbatch answered; `refused`: SLURM said no, so that no job can have come of it."""
        content = {"time": time.time(), "id": job, "error": error, "refused": refused}
        write_atomically(wave.path.with_suffix(".answer.json"), json.dumps(content), own=True)
        _refresh(wave)

    def end(self, wave: Wave, ends: Mapping[int, JobEnd]) -> None:
        """Put on disk how tasks ended."""
        if ends:
            wave.ends |= ends
            content = {task: asdict(end) for task, end in wave.ends.items()}
            write_atomically(wave.path.with_suffix(".ends.json"), json.dumps(content), own=True)

    def release(self, wave: Wave, task: int) -> None:
        """Put on disk that a task is being released."""
        wave.releases.setdefault(task, []).append(time.time())
        write_atomically(wave.path.with_suffix(".releases.json"), json.dumps(wave.releases), own=True)


def _own(path: Path, form: Form) -> Any | None:
    """Return what a file of this user's own says, or None: by the numbers in it jobs are cancelled and released."""
    text, owner = read_owned(path)
    return parse_json(text, form) if owner in (0, os.geteuid()) else None


def _wave(number: int, path: Path, content: Mapping[str, Any]) -> Wave:
    tasks = len(content["jobs"])
    begun = [*content.get("begun", ()), *[0] * tasks][:tasks]
    return Wave(number=number, path=path, jobs=content["jobs"], begun=begun, time=float(content["time"]))


def _refresh(wave: Wave) -> None:
    answer = _own(wave.path.with_suffix(".answer.json"), _ANSWER) or {}
    wave.id = answer.get("id", "")
    wave.answered = float(answer.get("time", 0.0)) if not answer.get("error") else 0.0
    wave.refused = bool(answer.get("refused"))
    ends = _own(wave.path.with_suffix(".ends.json"), dict) or {}
    tasks = {str(task): task for task in range(len(wave.jobs))}
    wave.ends = {tasks[task]: JobEnd(**end) for task, end in ends.items() if task in tasks and _is_end(end)}
    releases = _own(wave.path.with_suffix(".releases.json"), dict) or {}
    wave.releases = {tasks[task]: times for task, times in releases.items() if task in tasks and fits(times, [float])}


def _is_end(end: Any) -> bool:
    return fits(end, _END) and end.keys() <= JobEnd.__dataclass_fields__.keys()
