"""`difair logs RUN [-F]`: what the jobs of a run printed, attempt by attempt, and as it comes."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from difair_hpc.cli.screen import console
from difair_hpc.cli.selection import SELECTORS, one
from difair_hpc.runs.attempts import AttemptView, views
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.select import RunRow

_FOLLOW_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-F", "--follow", action="store_true", help="go on with what is printed, until the run ends")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Print the logs of one run."""
    where, _, row = one(arguments.words)
    folder = run_folder(where.root, row.signature)
    shown: dict[tuple[int, str], int] = {}
    while True:
        attempts = views(folder.path)
        ended = not attempts or not attempts[-1].alive
        printed = _print_new(where.root, attempts, shown)
        if not arguments.follow or (ended and (not row.job or folder.state().status in ("done", "failed"))):
            break
        if not printed:
            time.sleep(_FOLLOW_SECONDS)
    if not shown:
        console().print(_nothing(where.root, row), soft_wrap=True, markup=False)
    return 0


def log_part(root: Path, attempts: Sequence[AttemptView], position: int, suffix: str) -> tuple[Path, str]:
    """Return the log file of an attempt, and the part of it that is the attempt's own.

    Where an attempt begins is on record for the error log; the other log belongs to all attempts of its job.
    """
    place = attempts[position].place
    path = root / "jobs" / f"{place.log}{suffix}"
    if not place.log or not path.exists():
        return path, ""
    content = path.read_bytes()
    if suffix == ".err":
        later = [attempt.place.offset for attempt in attempts[position + 1 :] if attempt.place.log == place.log]
        content = content[place.offset : min(later, default=len(content))]
    return path, content.decode("utf-8", errors="replace")


def _print_new(root: Path, attempts: Sequence[AttemptView], shown: dict[tuple[int, str], int]) -> bool:
    """Print what is new in the logs; `shown`: characters of each part of them that were printed before."""
    printed = False
    for position, attempt in enumerate(attempts):
        for suffix in (".out", ".err"):
            path, text = log_part(root, attempts, position, suffix)
            part = (attempt.number if suffix == ".err" else 0, str(path))
            known = shown.get(part, 0)
            if len(text) > known:
                sys.stdout.write(text[known:] if known else f"==> attempt {attempt.number}: {path}\n{text}")
                shown[part] = len(text)
                printed = True
    sys.stdout.flush()
    return printed


def _nothing(root: Path, row: RunRow) -> str:
    logs = sorted((root / "jobs").glob(f"{row.job}_*_log.*")) if row.job else []
    places = f"; its job logs to {', '.join(map(str, logs))}" if logs else ""
    return f"run {row.signature} has printed nothing ({row.state}){places}"
