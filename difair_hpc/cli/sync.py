"""`difair sync`: bring MLflow up to date with the run folders; what died without a word gets its true status."""

import argparse

from difair_hpc import config
from difair_hpc.cli.screen import console, run_label
from difair_hpc.errors import UserError
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger, studies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI")


def run(arguments: argparse.Namespace) -> int:
    """Ship the runs of all studies, and the single ones."""
    where = config.settings_only(arguments.words)
    if where.tracking_uri == "none":
        raise UserError("tracking_uri=none is no store to bring up to date.")
    shipped = synchronise(where)
    console().print(f"{shipped} runs are up to date in MLflow")
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


def _live(where: config.Settings, study: str) -> bool:
    """Whether a command drives the study at this moment."""
    from difair_hpc.runs.attempts import newest

    last = newest(ledger(where.root, study).path)
    return last is not None and last.alive
