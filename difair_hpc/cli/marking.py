"""`difair hold`, `release` and `cancel`: marks in run folders, and the jobs in the queue that go with them.

A run at work that is held or cancelled saves and leaves. The study waits for a held run; it goes on without a
cancelled one.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from difair_hpc import config
from difair_hpc.cli.overview import StudyOverview
from difair_hpc.cli.screen import console
from difair_hpc.cli.selection import SELECTORS, selected
from difair_hpc.errors import Failure
from difair_hpc.folders import exists, keep_private, make_folder
from difair_hpc.runs.attempts import newest
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.runs.shown import run_count, run_label
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.select import RunRow

Verb = Literal["hold", "release", "cancel", "resume"]

_DONE = {"hold": "held", "release": "released", "cancel": "cancelled", "resume": "resumed"}
_QUEUE: dict[Verb, tuple[str, ...]] = {
    "hold": ("scontrol", "uhold"),
    "release": ("scontrol", "release"),
    "cancel": ("scancel",),
    "resume": ("scontrol", "release"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the three verbs."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show which runs are meant, and stop")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says to the runs that the words mean; those that are over are left alone."""
    verb: Verb = arguments.verb
    words, dry_run = arguments.words, arguments.dry_run
    where, found, rows = selected(words)
    keep_private(where.root)
    screen = console()
    open_rows = [row for row in rows if row.state not in ("done", "diverged", "pruned")]
    for row in open_rows:
        begin = "would be " if dry_run else ""
        screen.print(f"{row.signature}  {run_label(row.parameters)}  {row.state} -> {begin}{_DONE[verb]}")
    if not dry_run:
        for study in {row.study for row in rows} & set(words):
            mark_folder(verb, ledger(where.root, study).path)
        apply(verb, open_rows, found, where, screen)
    screen.print(f"{run_count(len(open_rows))}; {len(rows) - len(open_rows)} over and left alone")
    if verb == "release" and open_rows and not dry_run:
        screen.print("the next tick goes on with them; difair resume makes one now")
    return 0


def apply(
    verb: Verb, rows: Iterable[RunRow], found: Sequence[StudyOverview], where: config.Settings, screen: Console
) -> None:
    """Write the marks, then tell SLURM about jobs that wait and execute no other run."""
    signatures = {row.signature for row in rows}
    jobs = [job for study in found for job in study.jobs if signatures.issuperset(job.runs) and job.id]
    waiting = [job for job in jobs if job.state != "RUNNING"]
    for signature in signatures:
        ids = tuple(job.id for job in waiting if signature in job.runs) if verb == "cancel" else ()
        mark_folder(verb, run_folder(where.root, signature).path, ids)
    if waiting:
        _tell_slurm(verb, waiting, screen)


def mark_folder(verb: Verb, folder: Path, jobs: tuple[str, ...] = ()) -> None:
    """Write what a verb means into the mark of a run or study; `jobs`: those that it takes from the queue."""
    if not exists(folder):
        if verb in ("release", "resume"):
            return
        make_folder(folder)
    old = read_mark(folder)
    if verb in ("hold", "cancel"):
        hold: Literal["held", "cancelled"] = "held" if verb == "hold" else "cancelled"
        write_mark(folder, replace(old, hold=hold, by=f"difair {verb}", jobs=(*old.jobs, *jobs)))
    else:
        last = newest(folder)
        forgiven = last.number if last is not None and verb == "resume" else old.forgiven
        whole = old.whole or (verb == "resume" and bool(old.hold and old.pruned_in))
        new = Mark(by=f"difair {verb}", forgiven=forgiven, jobs=old.jobs, pruned_in=old.pruned_in, whole=whole)
        write_mark(folder, new)


def _tell_slurm(verb: Verb, jobs: Sequence[Job], screen: Console) -> None:
    try:
        run_command([*_QUEUE[verb], *(job.id for job in jobs)])
    except Failure as error:  # the mark stands; a job that starts all the same passes over its run
        screen.print(f"warning: {error}", soft_wrap=True)
