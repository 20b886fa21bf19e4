"""`difair sync`: bring MLflow and Optuna up to date with the run folders, whatever is left of them."""

import argparse
from collections.abc import Callable

from difair_hpc import config
from difair_hpc.cli.screen import console, run_label
from difair_hpc.errors import RunBusy
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger, studies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI, storage=URL")


def run(arguments: argparse.Namespace) -> int:
    """Ship the runs of all studies, and the single ones; then rebuild the searches."""
    where = config.settings_only(arguments.words)
    screen = console()
    if where.tracking_uri != "none":
        screen.print(f"{synchronise(where)} runs are up to date in MLflow")
    searches, trials = rebuild_searches(where, lambda line: screen.print(line, soft_wrap=True, markup=False))
    place = where.storage or where.root / "studies"
    screen.print(f"Optuna: {searches} studies, {trials} trials in {place}", soft_wrap=True, markup=False)
    return 0


def synchronise(where: config.Settings) -> int:
    """Ship every run folder under the root and return how many there were."""
    from difair_hpc.cli.figures import draw_run
    from difair_hpc.cli.train import STAGE, STUDY
    from difair_hpc.runs.tracking import Tracker, default_uri

    uri = where.tracking_uri or default_uri(where.root)
    known: set[str] = set()
    for name in studies(where.root):
        tracker = Tracker(uri, root=where.root, study=name, draw=draw_run)
        for stage in (ledger(where.root, name).description() or {"stages": []})["stages"]:
            for trial in stage["trials"]:
                known.add(trial["signature"])
                folder = run_folder(where.root, trial["signature"])
                tracker.ship(folder, stage=stage["name"], label=run_label(trial["parameters"]))
        tracker.close_parents(live=_live(where, name))
    single = [p.parent.name for p in (where.root / "runs").glob("*/spec.json") if p.parent.name not in known]
    if single:
        tracker = Tracker(uri, root=where.root, study=STUDY, draw=draw_run)
        for signature in single:
            tracker.ship(run_folder(where.root, signature), stage=STAGE, label=signature)
        tracker.close_parents(live=False)
    return len(known) + len(single)


def rebuild_searches(where: config.Settings, tell: Callable[[str], None]) -> tuple[int, int]:
    """Bring Optuna's side of every study up to date; return how many searches and trials, and tell what is left out."""
    from difair_hpc.cli.resume import repeat
    from difair_hpc.sweep.lease import Wishes, lease
    from difair_hpc.sweep.study import rebuild

    counts: list[int] = []
    for name in studies(where.root):
        folder = ledger(where.root, name)
        stages = (folder.description() or {"stages": []})["stages"]
        begun = [stage for stage in stages if stage["search"] != "final" and stage["trials"]]
        if not begun:
            continue
        if any("book" not in stage for stage in begun):
            tell(f"Optuna: study {name} was written by an earlier version; repeat its difair sweep, which rebuilds it")
            continue
        try:
            with lease(folder.path) as held:
                counts += [rebuild(folder, stage, root=where.root, url=where.storage) for stage in begun]
                held.end("finished")
        except RunBusy:
            tell(f"Optuna: study {name} is left to the command that drives it at this moment")
            continue
        if Wishes(folder.path).stands():
            repeat(where, name, attach=False)  # a job asked for a tick while the study was held here
    return len(counts), sum(counts)


def _live(where: config.Settings, study: str) -> bool:
    """Whether a command drives the study at this moment."""
    from difair_hpc.runs.attempts import newest

    last = newest(ledger(where.root, study).path)
    return last is not None and last.alive
