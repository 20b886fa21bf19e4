"""`difair logs RUN [-F]`: what the jobs of a run printed, attempt by attempt, and as it comes."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli.overview import StudyOverview
from difair_hpc.cli.screen import console
from difair_hpc.cli.selection import SELECTORS, one
from difair_hpc.files import MOST_BYTES, read_tail
from difair_hpc.folders import names_in
from difair_hpc.runs.attempts import AttemptView, newest, views
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.place import log_file, logs_folder
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.select import RunRow
from difair_hpc.words import is_name, visible

_FOLLOW_SECONDS = 1.0
_OVER = ("done", "diverged", "failed", "given up", "pruned", "held", "cancelled")
"""States in which nothing follows before a user does something; a failed run may be tried again, under a new log."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-F", "--follow", action="store_true", help="go on with what is printed, until the run ends")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Print the logs of one run."""
    where, study, row = one(arguments.words)
    folder = run_folder(where.root, row.signature)
    settings = [word for word in arguments.words if word.partition("=")[0] in config.SETTING_KEYS]
    shown: dict[tuple[int, str], int] = {}
    while True:
        attempts = views(folder.path)
        ended = not attempts or not attempts[-1].alive
        printed = _print_new(where.root, attempts, shown)
        if not arguments.follow:
            break
        if ended and not printed:
            _, study, row = one([row.signature, *settings])
            if not goes_on(where.root, study, row):
                break
        if not printed:
            time.sleep(_FOLLOW_SECONDS)
    if arguments.follow and row.state not in ("done", "diverged"):
        console().print(f"run {row.signature} is {row.state}; next: {row.next}", soft_wrap=True)
    if not shown:
        console().print(_nothing(where.root, row), soft_wrap=True)
    return 0


def goes_on(root: Path, study: StudyOverview, row: RunRow) -> bool:
    """Whether somebody may still execute a run that nobody executes at this moment."""
    if row.state in _OVER:
        return False
    driver = newest(ledger(root, study.study).path)
    return row.state in ("running", "queued") or bool(study.jobs) or (driver is not None and driver.alive)


def log_part(root: Path, attempts: Sequence[AttemptView], position: int, suffix: str) -> tuple[Path, str]:
    """Return the log file of an attempt, and the part of it that is the attempt's own.

    Where an attempt begins is on record for the error log; the other log belongs to all attempts of its job.
    """
    place = attempts[position].place
    if not is_name(place.log):
        return logs_folder(root), ""
    path = log_file(root, f"{place.log}{suffix}")
    later = [attempt.place.offset for attempt in attempts[position + 1 :] if attempt.place.log == place.log]
    begin, end = (place.offset, min(later, default=None)) if suffix == ".err" else (0, None)
    return path, read_tail(path, most=MOST_BYTES, begin=begin, end=end)


def _print_new(root: Path, attempts: Sequence[AttemptView], shown: dict[tuple[int, str], int]) -> bool:
    """Print what is new in the logs; `shown`: characters of each part of them that were printed before."""
    printed = False
    for position, attempt in enumerate(attempts):
        for suffix in (".out", ".err"):
            path, text = log_part(root, attempts, position, suffix)
            part = (attempt.number if suffix == ".err" else 0, str(path))
            known = shown.get(part, 0)
            if len(text) > known:
                sys.stdout.write(visible(text[known:] if known else f"==> attempt {attempt.number}: {path}\n{text}"))
                shown[part] = len(text)
                printed = True
    sys.stdout.flush()
    return printed


def _nothing(root: Path, row: RunRow) -> str:
    folder = logs_folder(root)
    logs = [folder / name for name in names_in(folder) if row.job and name.startswith(f"{row.job}_")]
    places = f"; its job logs to {', '.join(map(str, logs))}" if logs else ""
    return f"run {row.signature} has printed nothing ({row.state}){places}"
