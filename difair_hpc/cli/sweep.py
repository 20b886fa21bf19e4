"""`difair sweep NAME`: drive a study to its report; repeated after any end, it continues and repeats nothing."""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc import config
from difair_hpc.cli.needs import require_data
from difair_hpc.cli.screen import console, run_label
from difair_hpc.errors import ClusterUnreachable, Failure, InvalidValue, RunBusy
from difair_hpc.files import usable_folder
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.stop import StopFlag, stop_on_signal
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.space import certain_trials
from difair_hpc.sweep.spec import Profile, StudySpec

if TYPE_CHECKING:
    from difair_hpc.cli.progress import StudyProgress
    from difair_hpc.runs.tracking import Tracker
    from difair_hpc.sweep.cluster import Cluster
    from difair_hpc.sweep.reconcile import Reconciler, StageView

_TICK_SECONDS = 0.5
_SHIP_SECONDS = 5.0
_GRACE_SECONDS = 20.0
_PATIENCE_SECONDS = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("name", help="a sweep file: digits, paper, tpe, or one of your own in ./sweeps")
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--detach", action="store_true", help="submit the first wave and return; jobs carry the study on")
    once.add_argument("--tick", action="store_true", help="look once, submit what is due, and return (for cron)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the runs of each stage, and stop")
    parser.add_argument("words", nargs="*", metavar="key=value", help="cluster=local, protocol.epochs=5, stages.…")


def run(arguments: argparse.Namespace) -> int:
    """Run all stages, then the report; 130 when it was stopped before the end, 1 when runs were given up."""
    values = config.parse(arguments.words)
    where = config.settings(values)
    profile = config.profile(where.cluster, _cluster_keys(values))
    study = config.study(arguments.name, values)
    if arguments.dry_run:
        return _preview(study, where)
    once = arguments.detach or arguments.tick
    if once and profile.executor != "slurm":
        raise InvalidValue("cluster", where.cluster, "a profile of SLURM jobs with --detach or --tick")
    usable_folder(where.root, key="root")
    folder = usable_folder(ledger(where.root, study.name).path, key="root")
    require_data(_benchmarks(study), where)
    with _lease(folder, patience=_PATIENCE_SECONDS if once else 0.0) as lease, stop_on_signal() as flag:
        seen = _drive(study, profile, where, flag, again=_again(arguments) if once else None)
        lease.end("stopped" if flag else "finished")
    if once and not _complete(study, seen):
        console().print("jobs carry the study on: the last one writes the report; difair status shows where it stands")
        return 0
    if flag:
        console().print(f"stopped by {flag.reason}; the same command continues, finished runs are not repeated")
        return 130
    lost = {trial.state.signature for view in seen for trial in view.trials if trial.state.status != "done"}
    if lost:
        console().print(f"{len(lost)} runs failed for good and are missing in the tables; difair status says why")
    return 1 if lost else 0


def _lease(folder: Path, *, patience: float) -> Attempt:
    """Claim the study; a tick waits for another to end, since that one may have looked too early to see all."""
    until = time.monotonic() + patience
    while True:
        try:
            return Attempt(folder, {}, what="study")
        except RunBusy:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


def _again(arguments: argparse.Namespace) -> list[str]:
    """Return the words with which a job that ends ticks the study."""
    return ["sweep", arguments.name, "--tick", *arguments.words]


def _complete(study: StudySpec, seen: "Sequence[StageView]") -> bool:
    return len(seen) == len(study.stages) and seen[-1].complete


def _drive(
    study: StudySpec, profile: Profile, where: config.Settings, flag: StopFlag, *, again: list[str] | None
) -> "list[StageView]":
    from difair_hpc.cli.progress import StudyProgress
    from difair_hpc.cli.report import publish
    from difair_hpc.sweep.reconcile import Reconciler

    if profile.executor == "slurm":
        cluster, limits = _slurm(study, profile, where, again)
    else:
        cluster, limits = _local(profile, where)
    reconciler = Reconciler(study, root=where.root, build=config.build_run, cluster=cluster, limits=limits)
    screen = console()
    screen.print(f"study {study.name}: runs in {where.root / 'runs'}, {limits.parallel} at once")
    with _tracker(where, study.name) as tracker:
        with StudyProgress(screen, [stage.name for stage in study.stages]) as progress:
            seen = _loop(reconciler, tracker, progress, flag, once=again is not None)
            if flag and cluster.detached:
                screen.print(f"{flag.reason}: jobs go on without this command")
            elif flag:
                screen.print(f"{flag.reason}: runs save and leave")
                _leave(cluster)
            _ship(tracker, where.root, seen, progress.warn)
        if _complete(study, seen):
            publish(where, study.name, tracker, screen)
    return seen


def _loop(
    reconciler: "Reconciler", tracker: "Tracker | None", progress: "StudyProgress", flag: StopFlag, *, once: bool
) -> "list[StageView]":
    """Tick until all stages are complete or somebody asks to stop."""
    shipped = time.monotonic()
    seen: list[StageView] = []
    while True:
        try:
            seen = reconciler.tick()
            progress.show(seen)
        except ClusterUnreachable as error:
            progress.warn(f"{error} Jobs that run go on; trying again.")
        if flag or once or _complete(reconciler.study, seen):
            return seen
        if time.monotonic() - shipped > _SHIP_SECONDS:
            _ship(tracker, reconciler.root, seen, progress.warn)
            shipped = time.monotonic()
        time.sleep(_TICK_SECONDS)


def _leave(cluster: "Cluster") -> None:
    """Ask all runs to save, and give them the grace time; one that is just starting hears only a later request."""
    until = time.monotonic() + _GRACE_SECONDS
    while cluster.jobs() and time.monotonic() < until:
        cluster.stop()
        time.sleep(1.0)


def _ship(tracker: "Tracker | None", root: Path, seen: "Sequence[StageView]", warn: Callable[[str], None]) -> None:
    """Bring MLflow up to date; a store that fails for a while costs a warning, not the study."""
    if tracker is None:
        return
    try:
        for view in seen:
            for trial in view.trials:
                label = run_label(view.parameters[trial.number])
                tracker.ship(run_folder(root, trial.state.signature), stage=view.stage.name, label=label)
    except Failure as error:
        warn(f"{error} Training goes on; difair sync brings MLflow up to date later.")


@contextmanager
def _tracker(where: config.Settings, study: str) -> "Iterator[Tracker | None]":
    """Open MLflow for the block, and say there that the study stopped if the block does not come to its end."""
    if where.tracking_uri == "none":
        yield None
        return
    from difair_hpc.cli.figures import draw_run
    from difair_hpc.runs.tracking import Tracker, default_uri

    tracker = Tracker(where.tracking_uri or default_uri(where.root), root=where.root, study=study, draw=draw_run)
    try:
        yield tracker
    finally:
        if not tracker.study_finished:
            tracker.close_parents(live=False)


def _slurm(
    study: StudySpec, profile: Profile, where: config.Settings, again: list[str] | None
) -> "tuple[Cluster, Limits]":
    """Turn a profile into a SLURM cluster and limits."""
    from difair_hpc.runs.spec import ExecutionSpec
    from difair_hpc.sweep.slurm import SlurmCluster

    execution = ExecutionSpec(
        data_root=str(where.data_root),
        device=profile.device,
        threads=profile.threads or 4,
        checkpoint_epochs=profile.checkpoint_epochs,
        checkpoint_seconds=profile.checkpoint_seconds,
    )
    limits = Limits(
        parallel=profile.parallel or 32,
        failures_allowed=profile.failures_allowed,
        runs_per_job=profile.runs_per_job or 1,
    )
    return SlurmCluster(where.root, study.name, profile, execution, again=again), limits


def _local(profile: Profile, where: config.Settings) -> "tuple[Cluster, Limits]":
    """Turn a profile into a cluster and limits, dividing this machine where the profile leaves it open."""
    from difair_hpc.runs.spec import ExecutionSpec
    from difair_hpc.sweep.cluster import LocalCluster

    cpus = len(os.sched_getaffinity(0))
    gpus = _gpus(profile.device)
    parallel = profile.parallel or gpus or min(cpus, 4)
    execution = ExecutionSpec(
        data_root=str(where.data_root),
        device=profile.device,
        threads=profile.threads or max(1, cpus // parallel),
        checkpoint_epochs=profile.checkpoint_epochs,
        checkpoint_seconds=profile.checkpoint_seconds,
    )
    cluster = LocalCluster(where.root, execution, gpus=gpus)
    limits = Limits(parallel=parallel, failures_allowed=profile.failures_allowed, runs_per_job=profile.runs_per_job)
    return cluster, limits


def _gpus(device: str) -> int:
    if device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()


def _cluster_keys(values: config.Values) -> dict[str, object]:
    """Take the keys cluster.* out of `values`: they override the profile."""
    own = [key for key in values if key.startswith("cluster.")]
    return {key.removeprefix("cluster."): values.pop(key) for key in own}


def _benchmarks(study: StudySpec) -> set[str]:
    named = {str(stage.base["benchmark"]) for stage in study.stages if "benchmark" in stage.base}
    return named | {name for stage in study.stages for name in stage.benchmarks}


def _preview(study: StudySpec, where: config.Settings) -> int:
    """Print the runs of each stage as far as they are known."""
    screen = console()
    total = 0
    for stage in study.stages:
        waits = stage.search == "optuna" or stage.chosen_in or any(axis.chosen_in for axis in stage.space)
        wanted = [] if waits else certain_trials(stage, {}, [])
        screen.print(f"stage {stage.name} ({stage.search})" + (f": {stage.trials} trials" if stage.trials else ""))
        for parameters in wanted:
            spec = config.build_run(stage.base, parameters)
            done = run_folder(where.root, spec.signature).state().status
            screen.print(f"  {spec.signature}  {run_label(parameters)}  {spec.protocol.epochs} epochs  {done}")
        if waits and stage.search != "optuna":
            screen.print("  follows from what an earlier stage chooses")
        total += len(wanted)
    screen.print(f"{total} runs are certain from the start; nothing was started")
    return 0
