"""`difair status [STUDY]`: where studies and runs stand, from the folders and one look at the queue; writes nothing."""

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from difair_hpc import config
from difair_hpc.cli.overview import StudyOverview, overview
from difair_hpc.cli.screen import ago, console, duration
from difair_hpc.cli.selection import split_words
from difair_hpc.errors import UserError
from difair_hpc.runs.shown import run_label
from difair_hpc.sweep.select import RunRow, select
from difair_hpc.words import counted, visible

_HEADER = ("#", "run", "what differs", "state", "job", "node", "epoch", "accuracy", "occupancy", "heard", "{time}", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument("-w", "--watch", action="store_true", help="show it again and again, until Ctrl-C")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="with --watch (default 10)")
    words = "studies (default: all), what must be true (state=failed alpha=10), root=FOLDER"
    parser.add_argument("words", nargs="*", metavar="STUDY or key=value", help=words)


def run(arguments: argparse.Namespace) -> int:
    """Print every run of the studies, and the runs that belong to none."""
    where, words = split_words(arguments.words)
    screen = console()
    if arguments.every < 1:
        raise UserError(f"--every {arguments.every:g} is too often: at least 1 second.")
    while True:
        found = _chosen(where, words)
        if arguments.watch and screen.is_terminal:
            screen.clear()
        if arguments.format == "json":
            rows = [dataclasses.asdict(row) for study in found for row in study.rows]
            screen.out(json.dumps(rows, indent=1))
            sys.stderr.writelines(visible(f"{study.study}: {note}\n") for study in found for note in study.notes)
        else:
            _print(found, where, screen)
        if not arguments.watch:
            return 0
        time.sleep(arguments.every)


def _chosen(where: config.Settings, words: Sequence[str]) -> list[StudyOverview]:
    names = [word for word in words if "=" not in word]
    conditions = [word for word in words if "=" in word]
    found = overview(where, names)
    if not conditions:
        return found
    kept = {
        row.signature
        for row in select(conditions, [row for study in found for row in study.rows], others=config.SETTING_KEYS)
    }
    return [
        dataclasses.replace(study, rows=tuple(row for row in study.rows if row.signature in kept)) for study in found
    ]


def _print(found: Sequence[StudyOverview], where: config.Settings, screen: Console) -> None:
    if not any(study.rows for study in found):
        screen.print(f"no runs in {where.root}; difair sweep digits starts a study", soft_wrap=True)
    for study in found:
        for stage in dict.fromkeys(row.stage for row in study.rows):
            _print_stage(study, [row for row in study.rows if row.stage == stage], screen)
        for note in study.notes:
            screen.print(f"{study.study}: {note}", soft_wrap=True)
    every = {row.signature: row for study in found for row in study.rows}
    if every:
        counts = Counter(row.state for row in every.values())
        spent = sum(row.seconds for row in every.values())
        left = sum(row.seconds_left or 0.0 for row in every.values() if row.state != "cancelled")
        words = ", ".join(f"{count} {state}" for state, count in counts.most_common())
        to_go = f", about {duration(left)} to go" if left else ""
        screen.print(f"{words}; {duration(spent)} of work{to_go}", soft_wrap=True)


def _print_stage(study: StudyOverview, rows: Sequence[RunRow], screen: Console) -> None:
    done, pruned = (sum(row.state == state for row in rows) for state in ("done", "pruned"))
    words = f"{done} of {len(rows)} done" + (f", {pruned} pruned" if pruned else "")
    runs = {row.signature: row for row in rows}.values()
    epochs = f"{sum(row.epoch for row in runs)} of {counted(sum(row.epochs or 0 for row in runs), 'epoch')}"
    screen.out(f"{study.study} / {rows[0].stage}: {words}, {epochs}")
    time_ = "time+left" if study.gpu_share is None else "GPU time+left"
    lines = [[title.format(time=time_) for title in _HEADER], *(_line(row, study.gpu_share or 1.0) for row in rows)]
    used = [column for column in zip(*lines, strict=True) if any(cell not in ("", "–") for cell in column[1:])]
    widths = [max(map(len, column)) for column in used]  # rich's table takes a second per 1,000 rows
    for line in zip(*used, strict=True):
        screen.out("  " + "  ".join(map(str.ljust, line, widths)).rstrip())


def _line(row: RunRow, gpu_share: float) -> list[str]:
    total = "" if row.epochs is None else f"/{row.epochs}"
    left = "" if not row.seconds_left else f"+{duration(row.seconds_left * gpu_share)}"
    finished = row.state in ("done", "diverged")
    return [
        str(row.index),
        row.signature,
        run_label(row.parameters),
        row.state,
        row.job,
        row.node,
        f"{row.epoch}{total}",
        _number(row.closed_set_accuracy),
        _number(row.occupancy),
        "" if finished or row.heard is None else ago(row.heard),
        f"{duration(row.seconds * gpu_share)}{left}" if row.seconds or left else "",
        row.note.splitlines()[0] if row.note else "",
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
