"""What a user has decided about a run, `mark.json` in its folder: hold it, cancel it, or forget how it failed.

A search that prunes marks its worse runs here too. That mark binds its own stage alone: whoever else wants the run to
its end takes it away.
The engine submits no run that is held back, and a run that executes looks at its mark and leaves by itself. A mark in a
study's folder keeps the engine from submitting anything of the study.
"""

import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from difair_hpc.files import read_json, write_atomically
from difair_hpc.folders import exists

Hold = Literal["", "held", "cancelled", "pruned"]
"""held: until `difair release`; cancelled: until `difair resume`; pruned: until a user, or another stage, wants the
rest; empty: the run may execute."""

FORM = {
    "hold?": re.compile("|".join(get_args(Hold))), "by?": str, "forgiven?": int, "jobs?": [str], "time?": float,
    "pruned_in?": [str], "whole?": bool,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """The mark of one run."""

    hold: Hold = ""
    by: str = ""
    """Who held it back: the command, what SLURM said, or the stage that pruned it."""
    forgiven: int = 0
    """Attempts up to this number do not count against the run any more."""
    jobs: tuple[str, ...] = ()
    """Jobs that `difair cancel` took from the queue: their end is no news."""
    pruned_in: tuple[str, ...] = ()
    """Stages that have stopped it at a rung, STUDY/BOOK each: none does so twice."""
    whole: bool = False
    """Whether a user has asked for the rest of a pruned run: no stage stops it any more."""
    time: float = 0.0
    """When it was made, seconds since 1970."""


def read_mark(folder: Path) -> Mark:
    """Return the mark in the folder of a run or study; one that was never made holds nothing back."""
    content = read_json(folder / "mark.json", FORM) or {}
    known = {key: value for key, value in content.items() if key in Mark.__dataclass_fields__}
    return Mark(**{**known, **{key: tuple(known.get(key, ())) for key in ("jobs", "pruned_in")}})


def is_lost(folder: Path) -> bool:
    """Whether there is a mark that nobody can read."""
    return read_json(folder / "mark.json", FORM) is None and exists(folder / "mark.json")


def end_pruning(folder: Path) -> None:
    """Let a run go on that some stage has pruned: somebody else wants it to its end."""
    mark = read_mark(folder)
    if mark.hold == "pruned":
        write_mark(folder, replace(mark, hold=""))


def write_mark(folder: Path, mark: Mark) -> None:
    """Replace the mark in the folder of a run or study."""
    write_atomically(folder / "mark.json", json.dumps({**asdict(mark), "time": time.time()}))
