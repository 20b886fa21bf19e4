"""`difair sync`: bring MLflow and Optuna up to date with the run folders, whatever is left of them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc import config
from difair_hpc.cli.needs import require_root
from difair_hpc.cli.screen import console
from difair_hpc.errors import RunBusy, Unreadable, UserError
from difair_hpc.folders import exists, keep_private, possible_folder
from difair_hpc.runs.folder import run_folder, run_names
from difair_hpc.runs.shown import placed, run_count
from difair_hpc.sweep.ledger import ledger, studies
from difair_hpc.sweep.pruning import pruned_runs
from difair_hpc.words import counted

if TYPE_CHECKING:
    from difair_hpc.runs.tracking import Tracker

_REBUILT_FROM = {"book", "axes", "objectives", "sampler"}
"""Keys of a stage without which Optuna's study cannot be made again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--rebuild", action="store_true", help="only into an empty MLflow store and Optuna storage")
    parser.add_argument("--retry", action="store_true", help="send again what MLflow has refused")
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI, storage=URL")


def run(arguments: argparse.Namespace) -> int:
    """Ship the runs of all studies, and the single ones; then rebuild the searches."""
    where = config.settings_only(arguments.words)
    possible_folder(where.root, key="root")
    require_root(where, arguments.words)
    keep_private(where.root)
    screen = console()
    if arguments.rebuild:
        _require_empty(where)

    def tell(line: str) -> None:
        screen.print(line, soft_wrap=True)

    missing: list[str] = []
    if where.tracking_uri != "none":
        shipped, missing = synchronise(where, retry=arguments.retry)
        tell(f"{run_count(shipped, 'are')} up to date in MLflow")
    searches, trials = rebuild_searches(where, tell)
    kept = where.storage or where.root / "studies"
    tell(f"Optuna: {counted(searches, 'study')}, {counted(trials, 'trial')} in {kept}")
    for problem in missing:
        tell(f"left out: {problem}")
    return 1 if missing else 0


def synchronise(where: config.Settings, *, retry: bool = False) -> tuple[int, list[str]]:
    """Ship every run folder under the root; return how many are up to date, and what is missing of the others, and why.

    Args:
        where: The root, and the store.
        retry: Send again what the store has refused.
    """
    from difair_hpc.cli.figures import draw_run
    from difair_hpc.cli.train import STAGE, experiment
    from difair_hpc.runs.reap import reap
    from difair_hpc.runs.tracking import Tracker, default_uri

    uri = where.tracking_uri or default_uri(where.root)
    known: set[str] = set()
    trackers: list[Tracker] = []

    def tracker_of(study: str) -> Tracker:
        trackers.append(Tracker(uri, root=where.root, study=study, draw=draw_run, retry=retry))
        return trackers[-1]

    unread: list[str] = []
    for name in studies(where.root):
        try:
            known |= _ship_study(where.root, name, tracker_of(name))
        except Unreadable as error:
            unread.append(str(error))
    single = [name for name in run_names(where.root) if name not in known]
    tracker = tracker_of(experiment(uri))
    for signature in single:
        tracker.ship(run_folder(where.root, signature), stage=STAGE, label=signature)
    reap(uri, where.root)
    incomplete = {signature for tracker in trackers for signature in tracker.incomplete}
    missing = [*unread, *(problem for tracker in trackers for problem in tracker.problems)]
    return len({*known, *single} - incomplete), list(dict.fromkeys(missing))


def _ship_study(root: Path, name: str, tracker: "Tracker") -> set[str]:
    """Ship the runs of a study, and its report where it is complete; return their signatures."""
    book = ledger(root, name)
    described = book.description() or {"stages": []}
    pruned = {one["name"]: pruned_runs(book, one.get("book", ""), root) for one in described["stages"]}
    shipped: set[str] = set()
    for signature, places in placed(described).items():
        shipped.add(signature)
        for stage, label in places:
            reason = pruned[stage].get(signature, "")
            tracker.ship(run_folder(root, signature), stage=stage, label=label, pruned=reason)
    if described["stages"] and all(stage["complete"] for stage in described["stages"]):
        tracker.finish_study()
    return shipped


def rebuild_searches(where: config.Settings, tell: Callable[[str], None]) -> tuple[int, int]:
    """Bring Optuna's side of every study up to date; return how many searches and trials, and tell what is left out."""
    from difair_hpc.cli.clusters import asked_by_another
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
        if any(not stage.keys() >= _REBUILT_FROM for stage in begun):
            tell(f"Optuna: study {name} was written by an earlier version; repeat its difair sweep, which rebuilds it")
            continue
        try:
            lost = _given_up(where, name)
            with lease(folder.path) as held:
                counts += [rebuild(folder, stage, root=where.root, url=where.storage, lost=lost) for stage in begun]
                held.end("finished")
        except RunBusy:
            tell(f"Optuna: study {name} is left to the command that drives it at this moment")
            continue
        except (UserError, TypeError, ValueError, KeyError, AssertionError) as error:
            tell(
                f"left out: Optuna's side of study {name}: its study.json is damaged ({type(error).__name__}: {error})"
            )
            continue
        if Wishes(folder.path).stands() and not asked_by_another(where.root, name):
            repeat(where, name, attach=False)  # a job asked for a tick while the study was held here
    return len(counts), sum(counts)


def _given_up(where: config.Settings, study: str) -> Callable[[str], bool]:
    """Return what tells of a run whether its study goes on without it, as the profile says that was last used."""
    from difair_hpc.cli.clusters import request_of, rules_of
    from difair_hpc.sweep.cluster import MemoryCluster
    from difair_hpc.sweep.plan import given_up
    from difair_hpc.sweep.sight import Sight

    request, sight = request_of(where.root, study), Sight(where.root, MemoryCluster(lambda _: None), record=False)
    if request is None:
        return lambda _: False
    limits = rules_of(request.profile)
    return lambda signature: bool(given_up(sight.view(signature), limits))


def _require_empty(where: config.Settings) -> None:
    """Refuse to fill a store that holds something of these studies: what is in it stays, and may differ.

    Raises:
        UserError: names the store and the study.
    """
    from difair_hpc.cli.train import experiment
    from difair_hpc.runs.tracking import Tracker, default_uri
    from difair_hpc.sweep.study import JOURNAL, is_kept

    uri = where.tracking_uri or default_uri(where.root)
    for name in [*studies(where.root), experiment(uri)]:
        folder = ledger(where.root, name)
        if where.tracking_uri != "none" and not Tracker(uri, root=where.root, study=name).is_empty():
            store, advice = f"the MLflow store {uri}", "tracking_uri=URI"
        elif exists(folder.path) and is_kept(folder, url=where.storage):
            store, advice = f"Optuna's storage {where.storage or folder.path / JOURNAL}", "storage=URL"
        else:
            continue
        raise UserError(
            f"{store} holds study {name} already, and --rebuild fills an empty one: move it away or name another with "
            f"{advice}. To bring it up to date, difair sync is enough."
        )
