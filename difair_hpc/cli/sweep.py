"""`difair sweep NAME`: drive a study to its report; repeated after any end, it continues and repeats nothing."""

import argparse
import os
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli.clusters import Request, keep_request
from difair_hpc.cli.drive import Drive, complete
from difair_hpc.cli.needs import Need, all_missing, needs_of_study
from difair_hpc.cli.preview import confirm, preview
from difair_hpc.cli.screen import console
from difair_hpc.config.places import folders, places_of, sweep_files
from difair_hpc.errors import ClusterUnreachable, InvalidValue, RunBusy
from difair_hpc.folders import keep_private, require_closed, usable_folder
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.code import freeze
from difair_hpc.runs.place import allocation_end
from difair_hpc.runs.stop import stop_on_signal
from difair_hpc.sweep.lease import Wishes, is_attended, lease, tick_in_turn
from difair_hpc.sweep.ledger import ledger, studies
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.spec import StudySpec

_PATIENCE_SECONDS = 60.0
"""Time for which a command waits for a job that ticks the study at this moment."""
_JOB_PATIENCE_SECONDS = 7200.0
_JOB_MARGIN_SECONDS = 120.0
"""A job whose runs are over keeps its place for so long where SLURM does not answer, and leaves before its time is up;
meanwhile SLURM starts nobody else's job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    studies = "a sweep file: digits, paper, tpe, ablation_…, or one of your own in ./sweeps (none: list them)"
    parser.add_argument("name", nargs="?", help=studies)
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--detach", action="store_true", help="submit the first wave and return; jobs carry the study on")
    once.add_argument("--tick", action="store_true", help="look once, submit what is due, and return (for cron)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the runs and GPU-hours, and stop")
    parser.add_argument("-y", "--yes", action="store_true", help="begin without a question, however many GPU-hours")
    parser.add_argument("words", nargs="*", metavar="key=value", help="cluster=local, protocol.epochs=5, stages.…")


def run(arguments: argparse.Namespace) -> int:
    """Run all stages, then the report; 130 when it was stopped before the end, 1 when runs were given up."""
    if arguments.name is None:
        return _list()
    values = config.parse(arguments.words)
    where = config.settings(values)
    profile = config.profile(where.cluster, config.cluster_keys(values))
    study = config.study(arguments.name, values, lambda name: _stages(where.root, name))
    needs = _needs(arguments, study, profile, where)
    if arguments.dry_run:
        preview(study, profile, where, console())
        return all_missing(needs)
    for need in needs:
        need()
    keep_private(where.root)
    usable_folder(where.root, key="root")
    folder = usable_folder(ledger(where.root, study.name).path, key="root")
    begun = (folder / "waves").is_dir()
    if not (arguments.yes or arguments.tick or begun) and not confirm(study, profile, console()):
        return 0
    words = tuple(_words(arguments, profile, where))
    request = Request(name=arguments.name, words=words, folder=str(Path.cwd()), profile=profile)
    drive = _drive(arguments, study, profile, where)
    once = arguments.detach or arguments.tick

    def drives(held: Attempt) -> None:
        """Do one command's work on the study; only who holds it says how it was asked for."""
        if not arguments.tick:
            keep_request(where.root, study.name, request)
        (drive.tick if once else drive.attend)(held)

    return _tick(drive, folder, drives, waits=arguments.detach) if once else _attend(drive, folder, drives)


def _needs(arguments: argparse.Namespace, study: StudySpec, profile: Profile, where: config.Settings) -> list[Need]:
    """Return what is needed before anything begins."""

    def jobs() -> None:
        if (arguments.detach or arguments.tick) and profile.executor != "slurm":
            raise InvalidValue("cluster", where.cluster, "a profile of SLURM jobs with --detach or --tick")

    folder = ledger(where.root, study.name).path
    return [
        partial(require_closed, where.root),
        jobs,
        *needs_of_study(study, profile, where, folder, submits=not arguments.tick),
    ]


def _stages(root: Path, study: str) -> Collection[str] | None:
    """Return the names of the stages of a study that was begun before; None: there is none."""
    if study not in studies(root):
        return None
    return [stage["name"] for stage in (ledger(root, study).description() or {"stages": []})["stages"]]


def _list() -> int:
    """Print the studies that there are sweep files for, the user's own with their files."""
    screen, files = console(), sweep_files()
    widest = max(map(len, files))
    for name, (path, about) in files.items():
        own = "" if path.parent == places_of("sweeps")[-1] else f"  [{path}]"
        screen.print(f"{name:{widest}}  {about}{own}", soft_wrap=True)
    screen.print("difair sweep NAME -n shows what one would do; it starts nothing", soft_wrap=True)
    return 0


def _drive(arguments: argparse.Namespace, study: StudySpec, profile: Profile, where: config.Settings) -> Drive:
    if profile.executor != "slurm":
        return Drive(study, profile, where)
    code = freeze(where.root, folders())
    again = ["sweep", arguments.name, "--tick", *_words(arguments, profile, where)]
    return Drive(study, profile, where, again=again, code=code)


def _words(arguments: argparse.Namespace, profile: Profile, where: config.Settings) -> list[str]:
    """Return the words of the command with all that the environment has said; the last of a key."""
    device = [config.word("cluster.device", profile.device)] if os.environ.get("DIFAIR_DEVICE") else []
    words = [*arguments.words, *device, *where.as_words()]
    return list({word.partition("=")[0]: word for word in words}.values())


def _attend(drive: Drive, folder: Path, drives: Callable[[Attempt], None]) -> int:
    """Drive the study to its end, or until somebody asks to stop."""
    patience = _PATIENCE_SECONDS if drive.profile.executor == "slurm" else 0.0
    with _held(folder, patience=patience) as held, stop_on_signal(drive.say_stop) as drive.flag:
        drives(held)
        held.end("stopped" if drive.flag else "finished")
    if drive.flag and Wishes(folder).stands():
        tick_in_turn(folder, drive.tick)  # a job asked while this command was leaving
    if drive.flag:
        drive.screen.print(
            f"stopped by {drive.flag.reason}; the same command continues, finished runs are not repeated"
        )
        return 130
    return drive.verdict()


def _tick(drive: Drive, folder: Path, drives: Callable[[Attempt], None], *, waits: bool) -> int:
    """Look at the study once."""
    drive.patience = _job_patience()
    with stop_on_signal(drive.say_stop) as drive.flag:
        until = time.monotonic() + (_PATIENCE_SECONDS if waits and not is_attended(folder) else 0.0)
        while not (ticked := tick_in_turn(folder, drives)) and not drive.flag and time.monotonic() < until:
            time.sleep(1.0)
    if drive.flag:
        return 130
    if not ticked:
        drive.screen.print("another process drives the study at this moment; it looks again before it leaves")
        return 0
    if drive.unanswered:
        raise ClusterUnreachable(
            f"nothing was submitted: repeat the command when SLURM answers ({drive.unanswered.rstrip('.')})."
        )
    if not drive.seen or not (complete(drive.study, drive.seen) or drive.seen[-1].waits):
        drive.screen.print(
            "jobs carry the study on: the last one writes the report; difair status shows where it stands"
        )
        return 0
    return drive.verdict()


def _job_patience() -> float:
    """Return for how long a job's last step waits for SLURM, seconds: if it is the last job, nobody else would tick.

    Of several such jobs one waits: the others see that it drives the study, and leave it their wish.
    """
    if "DIFAIR_LEAVING" not in os.environ:
        return 0.0
    end = allocation_end()
    return _JOB_PATIENCE_SECONDS if end is None else min(_JOB_PATIENCE_SECONDS, end - time.time() - _JOB_MARGIN_SECONDS)


def _held(folder: Path, *, patience: float) -> Attempt:
    """Claim the study; a job that ticks it at this moment is waited for."""
    until = time.monotonic() + patience
    while True:
        try:
            return lease(folder, attended=True)
        except RunBusy:
            if is_attended(folder) or time.monotonic() > until:
                raise
            time.sleep(1.0)
