"""`difair train`: one run in this process, tracked in MLflow; repeated, it continues or shows its result."""

import argparse
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from difair_hpc import config
from difair_hpc.cli.needs import require_data
from difair_hpc.cli.screen import console, duration
from difair_hpc.files import keep_private
from difair_hpc.runs.cpus import usable_threads
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.marks import end_pruning
from difair_hpc.runs.spec import ExecutionSpec, RunSpec
from difair_hpc.runs.suspects import tight_limits

STUDY, STAGE = "train", "single"
"""What single runs have for a study and a stage."""


def experiment(uri: str) -> str:
    """Return MLflow's experiment of single runs: on a team's server everybody has one, which no other may change."""
    from difair_hpc.runs.store import is_server

    return f"{STUDY}-{getpass.getuser()}" if is_server(uri) else STUDY


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
        return 0
    return _train(spec, folder, where, execution)


def train_folder(where: config.Settings, signature: str) -> int:
    """Go on with a run that was begun by this verb."""
    folder = run_folder(where.root, signature)
    return _train(folder.spec(), folder, where, config.execution({}, where))


def _train(spec: RunSpec, folder: RunFolder, where: config.Settings, execution: ExecutionSpec) -> int:
    screen = console()
    if folder.result() is None:
        from difair_hpc.cli.progress import EpochLines
        from difair_hpc.runs.run import Events, execute
        from difair_hpc.runs.stop import stop_on_signal

        require_data([spec.benchmark.name], where)
        keep_private(where.root)
        for limit in tight_limits():
            sys.stderr.write(f"warning: {limit}; torch may end in it without a message\n")
        if execution.threads is not None and (most := usable_threads(execution.threads)) < execution.threads:
            said = f"warning: {most} of {execution.threads} CPU threads are used: this process may use no more CPUs"
            sys.stderr.write(f"{said} (affinity, or a cgroup's quota)\n")
        folder.create(spec)
        end_pruning(folder.path)
        screen.print(f"run {spec.signature}  {folder.path}")
        lines = EpochLines(screen, spec.protocol.epochs)
        with stop_on_signal() as flag, _tracked(where, folder):
            outcome = execute(folder, execution, Events(should_stop=flag.__bool__, on_epoch=lines.epoch))
        if outcome == "stopped":
            screen.print(f"stopped by {flag.reason}; the same command continues at epoch {folder.state().epoch}")
            return 130
    else:
        with _tracked(where, folder):
            screen.print(f"run {spec.signature} is done; nothing is trained again")
    return _show(folder)


def _show(folder: RunFolder) -> int:
    result = folder.result()
    screen = console()
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
    screen.print(f"{result['epochs']} epochs in {duration(result['seconds'])}, result in {folder.path / 'result.json'}")
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

    def tell(line: str) -> None:
        sys.stderr.write(f"warning: {line}\n")

    tracker = Tracker(uri, root=where.root, study=experiment(uri), draw=draw_run, tell=tell)
    shipping = Shipping(tell)
    try:
        with shipping.beside(lambda: tracker.ship(folder, stage=STAGE, label=folder.signature)):
            yield
    finally:
        if not shipping.out:
            shipping.attempt(lambda: reap(uri, where.root))
