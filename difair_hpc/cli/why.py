"""`difair why RUN`: how its attempts ended, the end of its log, what happens next, and how to repeat it by hand."""

import argparse
import shlex
from pathlib import Path

from rich.console import Console

from difair_hpc import config
from difair_hpc.cli.logs import log_part
from difair_hpc.cli.screen import ago, console, duration
from difair_hpc.cli.selection import SELECTORS, one
from difair_hpc.folders import exists
from difair_hpc.runs.attempts import AttemptView, views
from difair_hpc.runs.damage import damaged
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.marks import read_mark
from difair_hpc.runs.shown import run_label
from difair_hpc.sweep.ends import MEANINGS
from difair_hpc.words import counted

_LOG_LINES = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Explain one run."""
    where, study, row = one(arguments.words)
    folder, screen = run_folder(where.root, row.signature), console()
    note = f" ({row.note})" if row.note else ""
    screen.print(f"run {row.signature}  {row.study}/{row.stage}  {run_label(row.parameters)}", soft_wrap=True)
    screen.print(f"state: {row.state}{note}", soft_wrap=True)
    if row.state == "unreadable":
        screen.print(f"next: {row.next}", soft_wrap=True)
        return 1
    mark = read_mark(folder.path)
    if mark.hold:
        screen.print(f"{mark.hold} by {mark.by}, {ago(mark.time)}")
    for path, meaning in damaged(folder.path).items():
        screen.print(f"damaged: {path}: {meaning}", soft_wrap=True)
    attempts = views(folder.path)
    for attempt in attempts:
        _tell(attempt, screen, asked=study.threads)
    if attempts and attempts[-1].end is not None and attempts[-1].end.get("trace"):
        screen.print(f"\nthe last error:\n{attempts[-1].end['trace'].rstrip()}", soft_wrap=True)
    _tell_log(where.root, attempts, screen)
    screen.print(f"\nnext: {row.next}", soft_wrap=True)
    screen.print(f"by hand: {_by_hand(folder, where)}", soft_wrap=True)
    return 0


def _tell(attempt: AttemptView, screen: Console, *, asked: int | None) -> None:
    place = attempt.place
    where = " ".join(part for part in (place.node, f"job {place.job}" if place.job else "") if part)
    epoch, step = attempt.position
    position = f"epoch {epoch}" + (f" and {counted(step, 'step')}" if step else "")
    if attempt.alive:
        said = "it works"
    elif attempt.kind in MEANINGS:
        said = f"{attempt.kind.replace('_', ' ')}: {MEANINGS[attempt.kind]} [{attempt.evidence}]"
    else:
        end = attempt.end or {"reason": "died", "message": ""}
        said = f"{end['reason']} {end.get('signal', '')} {end['message']}".strip()
    fewer = attempt.threads is not None and asked is not None and attempt.threads < asked
    position += f", with {attempt.threads} of the {asked} CPU threads that the profile asks for" if fewer else ""
    text = f"attempt {attempt.number}  {where}  {duration(attempt.seconds)}, to {position}; {said}"
    screen.print(text, soft_wrap=True)


def _tell_log(root: Path, attempts: list[AttemptView], screen: Console) -> None:
    if not attempts or not attempts[-1].place.log:
        return
    path, text = log_part(root, attempts, len(attempts) - 1, ".err")
    lines = text.splitlines()[-_LOG_LINES:]
    if lines:
        screen.print(f"\nthe end of {path}:", soft_wrap=True)
        for line in lines:
            screen.print(f"  {line}", soft_wrap=True)


def _by_hand(folder: RunFolder, where: config.Settings) -> str:
    if not exists(folder.path / "spec.json"):
        return "it was not submitted yet; difair sweep does that"
    words = [
        *config.words_of(folder.spec()),
        config.word("root", where.root),
        config.word("data_root", where.data_root),
    ]
    return f"difair train {shlex.join(words)}"
