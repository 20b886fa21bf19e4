"""What a user has decided about a run, `mark.json` in its folder: hold it, cancel it, or forget how it failed.

The engine submits no run that is held back, and a run that executes looks at its mark and leaves by itself. A mark in a
study's folder keeps the engine from submitting anything of the study.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from difair_hpc.files import read_json, write_atomically

Hold = Literal["", "held", "cancelled"]
"""held: until `difair release`; cancelled: until `difair resume`; empty: the run may execute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """The mark of one run."""

    hold: Hold = ""
    by: str = ""
    """Who held it back: the command, or what SLURM said."""
    forgiven: int = 0
    """Attempts up to this number do not count against the run any more."""
    jobs: tuple[str, ...] = ()
    """Jobs that `difair cancel` took from the queue: their end is no news."""
    time: float = 0.0
    """When it was made, seconds since 1970."""


def read_mark(folder: Path) -> Mark:
    """Return the mark in the folder of a run or study; one that was never made holds nothing back."""
    content = read_json(folder / "mark.json")
    if not isinstance(content, dict):
        return Mark()
    known = {key: value for key, value in content.items() if key in Mark.__dataclass_fields__}
    return Mark(**{**known, "jobs": tuple(known.get("jobs", ()))})


def write_mark(folder: Path, mark: Mark) -> None:
    """Replace the mark in the folder of a run or study."""
    write_atomically(folder / "mark.json", json.dumps({**asdict(mark), "time": time.time()}))
