"""The trials of a study's stages on disk, `studies/<name>/`: what Optuna can be rebuilt from."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.files import append_line, read_json, write_atomically, write_once
from difair_hpc.sweep.space import Parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A proposal and the run that it became."""

    number: int
    """Number of the trial in its stage, from 0, the same as Optuna's."""
    parameters: Parameters
    """Searched keys and values."""
    signature: str
    """Of the run; several trials may share one."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and writes the folder of one study; only the holder of the study's lease writes."""

    path: Path

    def trials(self, stage: str) -> list[Trial]:
        """Return the trials of a stage by number; the first line of a number counts, torn lines are passed over."""
        try:
            lines = (self.path / f"{stage}.jsonl").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        trials: dict[int, Trial] = {}
        for line in lines:
            try:
                content = json.loads(line)
            except ValueError:
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

    def describe(self, content: Mapping[str, Any]) -> None:
        """Keep the study's stages as data, so that reading commands need no sweep file."""
        write_atomically(self.path / "study.json", json.dumps(content, indent=1))

    def description(self) -> Mapping[str, Any] | None:
        """Return what `describe` kept, or None where there is no such study."""
        content: Mapping[str, Any] | None = read_json(self.path / "study.json")
        return content

    def database_name(self) -> str:
        """Return a name of the study that no study of another output root has: they may share a database."""
        path = self.path / "optuna.name"
        write_once(path, f"{self.path.name}-{uuid.uuid4().hex[:8]}")
        return path.read_text("utf-8")


def ledger(root: Path, study: str) -> Ledger:
    """Return the ledger of a study under the output root; it need not exist."""
    return Ledger(root / "studies" / study)


def studies(root: Path) -> list[str]:
    """Return the names of the studies under an output root."""
    return sorted(path.parent.name for path in (root / "studies").glob("*/study.json"))
