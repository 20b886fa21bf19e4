"""`difair train`: one run in this process, tracked in MLflow; repeated, it continues or shows its result."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from difair_hpc import config
from difair_hpc.cli.needs import all_missing, needs_of_run
from difair_hpc.cli.screen import complain, console, duration
from difair_hpc.folders import keep_private
from difair_hpc.runs.attempts import newest, require_free
from difair_hpc.runs.cpus import usable_threads
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.marks import end_pruning
from difair_hpc.runs.place import Place, allocation_end
from difair_hpc.runs.spec import ExecutionSpec, RunSpec
from difair_hpc.runs.stop import TIME
from difair_hpc.runs.suspects import tight_limits
from difair_hpc.user import user_name
from difair_hpc.words import counted

STUDY, STAGE = "train", "single"
"""What single runs have for a study and a stage."""


def experiment(uri: str) -> str:
    """Return MLflow's experiment of single runs: on a team's server everybody has one, which no other may change."""
    from difair_hpc.runs.store import is_server

    return f"{STUDY}-{user_name()}" if is_server(uri) else STUDY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would be trained, and stop")
    parser.add_argument("words", nargs="*", metavar="key=value", help="benchmark, split, method, protocol, seed, …")


def run(arguments: argparse.Namespace) -> int:
    """Train and evaluate; 130 when it was stopped before the end."""
    import yaml

    values = config.parse(arguments.words)
    where = config.settings(values)
    execution = config.execution(values, where)
    spec = config.run(values)
    folder = run_folder(where.root, spec.signature)
    if arguments.dry_run:
        console().print(yaml.safe_dump({"signature": spec.signature, **spec.to_dict()}, sort_keys=False), end="")
        return all_missing(needs_of_run(spec.benchmark.name, where) if folder.result() is None else [])
    return _train(spec, folder, where, execution)


def train_folder(where: config.Settings, signature: str) -> int:
    """Go on with a run that was begun by this verb."""
    folder = run_folder(where.root, signature)
    return _train(folder.spec(), folder, where, config.execution({}, where))


def _train(spec: RunSpec, folder: RunFolder, where: config.Settings, execution: ExecutionSpec) -> int:
    screen = console(lasting=True)
    if folder.result() is None:
        from difair_hpc.cli.progress import EpochLines
        from difair_hpc.runs.run import Events, execute
        from difair_hpc.runs.stop import stop_on_signal

        for need in needs_of_run(spec.benchmark.name, where):
            need()
        require_free(folder.path)
        keep_private(where.root)
        for limit in tight_limits():
            complain(f"{limit}; torch may end in it without a message")
        if execution.threads is not None and (most := usable_threads(execution.threads)) < execution.threads:
            said = f"{most} of {execution.threads} CPU threads are used: this process may use no more CPUs"
            complain(f"{said} (affinity, or a cgroup's quota)")
        folder.create(spec)
        end_pruning(folder.path)
        screen.print(f"run {spec.signature}  {folder.path}")
        lines = EpochLines(screen, spec.protocol.epochs)
        place = Place(ends=allocation_end())

        def say_stop(reason: str) -> None:
            screen.print(f"{reason}: the run saves and leaves; Ctrl-C again leaves at once, without saving")

        with stop_on_signal(say_stop) as flag, _tracked(where, folder):
            outcome = execute(folder, execution, Events(should_stop=lambda: flag.reason, on_epoch=lines.epoch), place)
        if outcome == "stopped":
            at = f"the same command continues at epoch {folder.state().epoch}"
            screen.print(f"stopped by {_stopper(folder)}; {at}")
            return 130
    else:
        with _tracked(where, folder):
            screen.print(f"run {spec.signature} is done; nothing is trained again")
    return _show(folder)


def _stopper(folder: RunFolder) -> str:
    """Return what made the run leave: a signal, a mark, or the end of the allocation in which it was started."""
    last = newest(folder.path)
    signal = "" if last is None or last.end is None else str(last.end["signal"])
    return "the end of this SLURM allocation" if signal == TIME else signal


def _show(folder: RunFolder) -> int:
    result = folder.result()
    screen = console(lasting=True)
    if result is None:
        screen.print(f"another process finishes run {folder.signature}")
        return 1
    evaluation = result["evaluation"]
    if evaluation is None:
        screen.print(f"diverged in epoch {result['epochs']}: the loss is no number")
    else:
        screen.print(f"closed-set accuracy {evaluation['closed_set_accuracy']:.4f}")
        if evaluation["occupancy"] is not None:
            screen.print(f"hypersphere occupancy {evaluation['occupancy']:.4f}")
        for score, value in evaluation["auroc"].items():
            screen.print(f"AUROC {score} {value:.4f}")
    for warning in result["warnings"]:
        screen.print(f"warning: {warning}")
    length = counted(result["epochs"], "epoch")
    screen.print(f"{length} in {duration(result['seconds'])}, result in {folder.path / 'result.json'}")
    return 0


@contextmanager
def _tracked(where: config.Settings, folder: RunFolder) -> Iterator[None]:
    """Ship the run to MLflow from a thread while the block trains, and completely at its end."""
    if where.tracking_uri == "none":
        yield
        return
    from difair_hpc.cli.figures import draw_run
    from difair_hpc.runs.reap import reap
    from difair_hpc.runs.shipping import Shipping
    from difair_hpc.runs.tracking import Tracker, default_uri

    uri = where.tracking_uri or default_uri(where.root)
    tracker = Tracker(uri, root=where.root, study=experiment(uri), draw=draw_run, tell=complain)
    shipping = Shipping(complain)
    waits = True
    try:
        with shipping.beside(lambda: tracker.ship(folder, stage=STAGE, label=folder.signature)):
            yield
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        if waits and not shipping.out:
            shipping.attempt(lambda: reap(uri, where.root))
