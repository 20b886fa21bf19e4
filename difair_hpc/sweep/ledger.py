"""The trials of a study's stages on disk, `studies/<name>/`: what Optuna can be rebuilt from."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from difair_hpc.errors import Unreadable
from difair_hpc.files import Form, append_line, parse_json, read_json, read_text, write_atomically, write_once
from difair_hpc.folders import may_exist, names_in
from difair_hpc.sweep.space import Parameters
from difair_hpc.words import counted, is_name

_BOOK = re.compile(r"(?!\.)[^/\x00-\x1f]{1,200}")
_SIGNATURE = re.compile(r"\w[\w.-]*")
_TRIAL = {"number": int, "parameters": dict, "signature": _SIGNATURE}
_RUNG = {
    "run": _SIGNATURE, "cycle": int, "epoch": int, "metric": str, "value": float, "eligible": bool, "reached": int,
    "needed": float, "pruned": bool,
}  # fmt: skip
_STUDY = {
    "stages": [
        {
            "name": str, "search?": str, "trials": [_TRIAL], "planned?": (int, None), "complete?": bool, "book?": _BOOK,
            "reasons?": [str], "chosen?": [dict], "axes?": [dict], "objectives?": [str], "sampler?": str,
        }
    ]
}  # fmt: skip
_ABSENT: dict[str, Any] = {"search": "", "planned": None, "complete": False, "reasons": [], "chosen": []}
"""What stands for a key that every stage of study.json has, and this one lacks: somebody has edited it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A proposal and the run that it became."""

    number: int
    """Number of the trial in its stage, from 0, the same as Optuna's."""
    parameters: Parameters
    """Searched keys and values."""
    signature: str
    """Of the run; several trials may share one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A run at the end of a cycle at which its stage prunes; `rungs.verdict` adds the last three, once and for all."""

    run: str
    """Signature."""
    cycle: int
    """Finished cycles: 1, 2, 4 …"""
    epoch: int
    metric: str
    value: float
    """Of the metric at that epoch."""
    eligible: bool
    """Whether the choice rule could take the run: one that it could not take pushes no other out."""
    reached: int = 0
    """Eligible runs that had come so far, and this one."""
    needed: float = 0.0
    """Least value with which it goes on."""
    pruned: bool = False
    """Whether it was stopped here."""

    def __str__(self) -> str:
        """Say what was compared."""
        came = f"{self.needed:.4f} was needed among the {counted(self.reached, 'run')} that had come so far"
        return f"{self.metric} {self.value:.4f} at epoch {self.epoch}; {came}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and writes the folder of one study; only the holder of the study's lease writes."""

    path: Path

    def trials(self, stage: str) -> list[Trial]:
        """Return the trials of a stage by number; the first line of a number counts, torn lines are passed over."""
        trials: dict[int, Trial] = {}
        for content in self._lines(stage, _TRIAL):
            if not _is_plain(content):
                continue
            trial = Trial(number=content["number"], parameters=content["parameters"], signature=content["signature"])
            trials.setdefault(trial.number, trial)
        return [trials[number] for number in sorted(trials)]

    def add(self, stage: str, *trials: Trial) -> None:
        """Record trials before their runs are submitted."""
        lines = [
            json.dumps({"number": trial.number, "parameters": trial.parameters, "signature": trial.signature})
            for trial in trials
        ]
        if lines:
            append_line(self.path / f"{stage}.jsonl", "\n".join(lines))

    def rungs(self, stage: str) -> list[Rung]:
        """Return the verdicts of a stage that prunes, in the order in which they were given."""
        return [Rung(**content) for content in self._lines(f"{stage}.rungs", _RUNG)]

    def add_rung(self, stage: str, rung: Rung) -> None:
        """Put a verdict on record, before anything follows from it."""
        append_line(self.path / f"{stage}.rungs.jsonl", json.dumps(asdict(rung)))

    def _lines(self, name: str, form: Form) -> Iterator[dict[str, Any]]:
        contents = (parse_json(line, form) for line in read_text(self.path / f"{name}.jsonl").splitlines())
        return (content for content in contents if content is not None)

    def damaged_lines(self) -> dict[str, int]:
        """Return the names of the lists that have lines which are passed over, with how many."""
        found: dict[str, int] = {}
        for name in names_in(self.path):
            stem, point, ending = name.rpartition(".")
            if point + ending != ".jsonl":
                continue
            form = _RUNG if stem.endswith(".rungs") else _TRIAL
            try:
                lines = [line for line in read_text(self.path / name).splitlines() if line]
                found[name] = len(lines) - sum(1 for _ in self._lines(stem, form))
            except Unreadable:
                found[name] = 1
        return {name: lost for name, lost in found.items() if lost}

    def describe(self, content: Mapping[str, Any]) -> None:
        """Keep the study's stages as data, so that reading commands need no sweep file."""
        write_atomically(self.path / "study.json", json.dumps(content, indent=1))

    def description(self) -> Mapping[str, Any] | None:
        """Return what `describe` kept, or None where there is no such study, or the file is damaged."""
        content = read_json(self.path / "study.json", _STUDY)
        if content is None or not all(_is_plain(trial) for stage in content["stages"] for trial in stage["trials"]):
            return None
        return {**content, "stages": [_ABSENT | stage for stage in content["stages"]]}

    def database_name(self) -> str:
        """Return a name of the study that no study of another output root has: they may share a database."""
        path = self.path / "optuna.name"
        write_once(path, f"{self.path.name}-{uuid.uuid4().hex[:8]}")
        return read_text(path)


def _is_plain(trial: Mapping[str, Any]) -> bool:
    """Whether the values that a trial searched are such as a sweep file can have: single ones, and lists of such."""
    values = [value if isinstance(value, list) else [value] for value in trial["parameters"].values()]
    return all(isinstance(one, str | int | float | None) for parts in values for one in parts)


def ledger(root: Path, study: str) -> Ledger:
    """Return the ledger of a study under the output root; it need not exist."""
    return Ledger(root / "studies" / study)


def studies(root: Path) -> list[str]:
    """Return the names of the studies under an output root.

    Raises:
        Unreadable: this user may not look.
    """
    folder = root / "studies"
    return [name for name in names_in(folder) if is_name(name) and may_exist(folder / name / "study.json")]
