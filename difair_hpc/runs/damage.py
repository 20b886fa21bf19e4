"""Which files of a run's folder nobody can read, and what follows from that for the run."""

import re
from collections.abc import Iterator
from pathlib import Path

from difair_hpc.files import Form, fits, read_json
from difair_hpc.folders import exists, names_in
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import FORMS
from difair_hpc.runs.folder import RESULT, SPEC
from difair_hpc.runs.marks import FORM as MARK
from difair_hpc.train.sealed import is_sound
from difair_hpc.words import counted

_ATTEMPT = re.compile(r"\d{4,}(\.\w+)?\.json")


def damaged(folder: Path) -> dict[Path, str]:
    """Return the damaged files of a run folder, each with what follows and what to do.

    Args:
        folder: The run folder.
    """
    run = folder.name
    found: dict[Path, str] = {}
    if not _is_whole(folder / "spec.json", SPEC):
        found[folder / "spec.json"] = f"move {folder} away, and the run starts from its beginning"
    if not _is_whole(folder / "result.json", {"schema": int} | RESULT):
        found[folder / "result.json"] = f"difair resume {run} writes it anew from the last checkpoint"
    if not _is_whole(folder / "mark.json", MARK):
        found[folder / "mark.json"] = f"it holds nothing back; difair hold or difair cancel {run} writes it anew"
    found |= dict.fromkeys(_attempts(folder), "that part of the attempt's record is as if it had never been written")
    if lines := spool.damaged_lines(folder):
        kept = f"passed over: {counted(lines, 'line')}; MLflow and the report lack these epochs"
        found[folder / spool.NAME] = f"{kept} unless the run trains them again"
    for name in names_in(folder):
        if name.startswith("checkpoint-") and name.endswith(".pt") and not is_sound(folder / name):
            found[folder / name] = "passed over: the run goes on from an older checkpoint, or from its beginning"
    return found


def _attempts(folder: Path) -> Iterator[Path]:
    for name in names_in(folder / "attempts"):
        path = folder / "attempts" / name
        if (match := _ATTEMPT.fullmatch(name)) and not _is_whole(path, FORMS.get(match[1] or "", object)):
            yield path


def _is_whole(path: Path, form: Form) -> bool:
    """Whether a file is absent, or JSON of a form."""
    return not exists(path) or fits(read_json(path), form)
