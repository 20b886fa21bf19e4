"""`difair resume [STUDY|RUN…]`: start again what failed, was cancelled or held, and let its study go on."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli import sweep, train
from difair_hpc.cli.clusters import Request, request_of
from difair_hpc.cli.marking import apply, mark_folder
from difair_hpc.cli.overview import overview
from difair_hpc.cli.screen import complain, console
from difair_hpc.cli.selection import SELECTORS, split_words
from difair_hpc.errors import UserError
from difair_hpc.folders import exists, keep_private
from difair_hpc.nofollow import others_write
from difair_hpc.runs.marks import read_mark
from difair_hpc.runs.shown import run_count, run_label
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.select import select
from difair_hpc.user import is_trusted

_AGAIN = ("failed", "given up", "cancelled", "held", "dead", "stopped")
_OVER = ("done", "diverged", "pruned")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show which runs are meant, and stop")
    parser.add_argument("--attach", action="store_true", help="on SLURM too, drive the study to its end")
    parser.add_argument("words", nargs="*", metavar="STUDY|RUN", help=SELECTORS + " (default: everything)")


def run(arguments: argparse.Namespace) -> int:
    """Forgive the runs, then repeat the command that asked for each study: detached on SLURM, else attended."""
    where, words = split_words(arguments.words)
    keep_private(where.root)
    found, screen = overview(where), console()
    everything = [row for study in found for row in study.rows]
    if not everything:
        raise UserError(f"there is nothing in {where.root} to resume; difair sweep digits starts a study.")
    chosen = select(words, everything, others=config.SETTING_KEYS)
    # A pruned run has served its search: only its own name, or state=pruned, brings it back.
    named = any("=" not in word and word not in {row.study for row in everything} for word in words)
    again = (*_AGAIN, "pruned") if named or "state=pruned" in words else _AGAIN
    rows = [row for row in chosen if row.state in again]
    for row in rows:
        screen.print(f"{row.signature}  {run_label(row.parameters)}  {row.state} at epoch {row.epoch}")
    if arguments.dry_run:
        screen.print(f"{run_count(len(rows))} would go on from the last checkpoint")
        return 0
    apply("resume", rows, found, where, screen)
    unfinished = {row.study for row in chosen if row.state in again or row.state not in _OVER}
    for study in {row.study for row in chosen} - {train.STUDY}:
        if read_mark(ledger(where.root, study).path).hold:
            mark_folder("resume", ledger(where.root, study).path)
            unfinished.add(study)
    single = [row.signature for row in rows if row.study == train.STUDY]
    codes = [repeat(where, name, attach=arguments.attach) for name in sorted(unfinished - {train.STUDY})]
    codes += [train.train_folder(where, signature) for signature in single]
    if not codes:
        screen.print("nothing is left to do")
    return max(codes, default=0)


def repeat(where: config.Settings, study: str, *, attach: bool) -> int:
    """Repeat the command that asked for a study: detached on SLURM unless `attach`, else attended."""
    request = request_of(where.root, study)
    if request is None:
        kept = ledger(where.root, study).path / "request.json"
        why = f"{kept} is {'damaged' if exists(kept) else 'missing'}"
        raise UserError(f"study {study} does not say how it was asked for ({why}); repeat its difair sweep command.")
    if request.asker:
        complain(f"study {study} is left to {request.asker}, who asked for it: what its jobs execute is theirs to say")
        return 1
    folder = Path(request.folder)
    if folder.is_dir():
        os.chdir(folder)  # where its own sweeps/ and slurm/ are
    if stranger := _stranger(folder):
        complain(f"study {study} is left alone: {stranger}")
        return 1
    detached = request.profile.executor == "slurm" and not attach
    return sweep.run(_as_arguments(request, where, study, detached=detached))


def _stranger(folder: Path) -> str:
    """Return why what a command reads in a folder may be another user's; nothing: it is not.

    Sweep files and profiles are read by their names, and hold lines of shell: so nobody else may write in the folder.
    """
    if not folder.is_dir():
        return ""
    found = folder.stat()
    if others_write(found) or not is_trusted(found.st_uid):
        return f"others can write in {folder}, where its command was given; repeat it yourself"
    for place in (folder / "sweeps", folder / "slurm"):
        for path in sorted([place, *place.rglob("*")]) if place.is_dir() else ():
            found = path.stat()
            if others_write(found) or not is_trusted(found.st_uid):
                return f"others can write {path}, which its command reads; repeat it yourself"
    return ""


def _brought_along(words: Sequence[str], root: Path) -> list[str]:
    """Return the words of a request with what lay below its output root below this one: it may have been moved."""
    old = str(config.parse(words).get("root", root))

    def brought(word: str) -> str:
        ((key, value),) = config.parse([word]).items()
        return config.word(key, value.replace(f"{old}/", f"{root}/")) if f"{old}/" in str(value) else word

    return list(words) if Path(old) == root else [brought(word) for word in words if not word.startswith("root=")]


def _as_arguments(request: Request, where: config.Settings, study: str, *, detached: bool) -> argparse.Namespace:
    words = _brought_along(request.words, where.root)
    words = [*words, config.word("study", study), config.word("root", where.root)]
    return argparse.Namespace(name=request.name, detach=detached, tick=False, dry_run=False, yes=True, words=words)
