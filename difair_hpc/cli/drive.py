"""A study under way: ticks, live progress, MLflow, and the report at its end."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc import config
from difair_hpc.cli.clusters import connect, limits_of, node_rule
from difair_hpc.cli.screen import console
from difair_hpc.errors import ClusterUnreachable, StorageUnreachable
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.shipping import Shipping
from difair_hpc.runs.shown import run_count, run_label
from difair_hpc.runs.stop import StopFlag
from difair_hpc.sweep.lease import Wishes
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.spec import StudySpec

if TYPE_CHECKING:
    from difair_hpc.cli.progress import StudyProgress
    from difair_hpc.runs.tracking import Tracker
    from difair_hpc.sweep.cluster import Cluster
    from difair_hpc.sweep.describe import StageView
    from difair_hpc.sweep.reconcile import Reconciler

TICK_SECONDS = {"local": 0.5, "slurm": 1.0}
"""Between two looks at the run folders; squeue is asked less often."""
_GRACE_SECONDS = 20.0
_LONGEST_PAUSE_SECONDS = 60.0


class Drive:
    """One command's hold on a study."""

    def __init__(
        self,
        study: StudySpec,
        profile: Profile,
        where: config.Settings,
        *,
        again: Sequence[str] = (),
        code: Path | None = None,
    ) -> None:
        """Keep what driving needs; `again` and `code` are for jobs (SlurmCluster)."""
        self.study = study
        self.profile = profile
        self.where = where
        self.seen: Sequence[StageView] = []
        self.flag = StopFlag()
        """Set by whoever wants this command to leave."""
        self.unanswered = ""
        """What was said where the last tick came to nothing, because SLURM or Optuna's database did not answer."""
        self.patience = 0.0
        """Seconds for which a single tick that comes to nothing is tried again."""
        self.screen = console(lasting=True)
        self._again = again
        self._code = code
        self._at_work = False

    def tick(self, held: Attempt) -> None:
        """Look once, submit what is due, ship what is new, and write the report where all is complete."""
        self._whole(held, once=True)

    def attend(self, held: Attempt) -> None:
        """Tick until all stages are complete, nothing can happen without the user, or somebody asks to stop."""
        self._whole(held, once=False)

    def verdict(self) -> int:
        """Say what the study waits for or lacks, and return the exit code."""
        screen, seen = self.screen, self.seen
        if seen and seen[-1].waits:
            held = sum(state.hold == "held" for state in seen[-1].states.values())
            reason = seen[-1].halted or f"{run_count(held, 'are')} held, and nothing else is left to do"
            screen.print(f"study {self.study.name} waits: {reason}")
            screen.print(f"difair resume {self.study.name} starts what was held or has failed again")
            return 1
        lost = {t.state.signature for view in seen for t in view.trials if t.state.status != "done" and not t.pruned}
        if lost:
            screen.print(f"{run_count(len(lost))} failed for good, missing in the tables; difair status says why")
        return 1 if lost else 0

    def say_stop(self, reason: str) -> None:
        """Say at once that a signal has come, what happens now, and what another Ctrl-C does."""
        if self.profile.executor == "slurm":
            self.screen.print(f"{reason}: this command leaves, jobs go on without it; Ctrl-C again leaves at once")
        else:
            text = (
                f"runs save and leave, which takes up to {_GRACE_SECONDS:.0f} s; Ctrl-C again leaves them to themselves"
            )
            self.screen.print(f"{reason}: {text}")

    def _whole(self, held: Attempt, *, once: bool) -> None:
        from difair_hpc.cli.progress import StudyProgress
        from difair_hpc.cli.report import publish, show_places
        from difair_hpc.sweep.reconcile import Reconciler

        cluster = connect(self.study.name, self.profile, self.where, again=self._again, code=self._code)
        limits, root = limits_of(self.profile), self.where.root
        reconciler = Reconciler(
            self.study,
            root=root,
            build=config.build_run,
            cluster=cluster,
            limits=limits,
            storage=self.where.storage,
            nodes=node_rule(self.profile),
            counts=held.counts,
        )
        screen = self.screen
        screen.print(f"study {self.study.name}: runs in {root / 'runs'}, {limits.parallel} at once", soft_wrap=True)
        with StudyProgress(screen, [stage.name for stage in self.study.stages]) as progress:
            shipping, tracker = Shipping(progress.warn), _tracker(self.where, self.study.name, progress.warn)
            with shipping.beside(partial(self._ship, tracker)) if tracker is not None else nullcontext():
                try:
                    self._at_work = True
                    self._loop(reconciler, progress, once=once)
                    if self.flag and not cluster.detached:
                        _leave(cluster)
                except KeyboardInterrupt:  # a second Ctrl-C
                    if not cluster.detached:
                        cluster.stop()
                    raise
                finally:
                    self._at_work = cluster.detached and (bool(self.unanswered) or self._goes_on())
        ended = complete(self.study, self.seen)
        if ended and self.profile.report:
            publish(self.where, self.study.name, screen, tracked=tracker is not None)
        elif ended:
            screen.print(f"all stages are complete; difair report {self.study.name} writes the report")
            show_places(self.where, {}, screen, tracked=tracker is not None)
        if tracker is not None and not shipping.out:  # else it was said, and difair sync makes up for it
            shipping.attempt(partial(_last_word, tracker, ended=ended))

    def _goes_on(self) -> bool:
        """Whether jobs carry the study on when this command has left."""
        view = self.seen[-1] if self.seen else None
        return view is not None and not view.waits and bool(view.jobs or view.submitted)

    def _ship(self, tracker: "Tracker") -> None:
        """Bring MLflow up to date with what was seen last."""
        for view in self.seen:
            for trial in (trial for trial in view.trials if trial.state.status != "new"):
                label = run_label(view.parameters[trial.number])
                folder = run_folder(self.where.root, trial.state.signature)
                tracker.ship(folder, stage=view.stage.name, label=label, pruned=trial.pruned)
        tracker.settle(live=self._at_work)

    def _loop(self, reconciler: "Reconciler", progress: "StudyProgress", *, once: bool) -> None:
        wishes = Wishes(ledger(self.where.root, self.study.name).path)
        until, pause = time.monotonic() + self.patience, TICK_SECONDS[self.profile.executor]
        while True:
            if not once:
                wishes.take()
            self.unanswered = ""
            try:
                self.seen = reconciler.tick()
                progress.show(self.seen)
                if reconciler.pressure:
                    progress.warn(f"{reconciler.pressure} A later tick submits what is left.")
            except (ClusterUnreachable, StorageUnreachable) as error:
                if isinstance(error, StorageUnreachable) and not self.seen:
                    raise  # it never could be used: a mistake, more likely than bad luck
                self.unanswered = str(error)
            again = not once or (bool(self.unanswered) and time.monotonic() < until)
            later = "trying" if again else "the next tick tries"
            progress.outage(self.unanswered and f"{self.unanswered} Jobs that run go on; {later} again.")
            ended = complete(self.study, self.seen) or (bool(self.seen) and self.seen[-1].waits)
            if self.flag or ended or not again:
                return
            if once:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._rest(pause)
            if self.flag:  # another look would start again what has just saved and left
                return

    def _rest(self, seconds: float) -> None:
        """Wait, unless somebody asks to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.flag:
            time.sleep(min(left, TICK_SECONDS["slurm"]))


def complete(study: StudySpec, seen: "Sequence[StageView]") -> bool:
    """Whether nothing is left to do in any stage."""
    return len(seen) == len(study.stages) and seen[-1].complete


def _leave(cluster: "Cluster") -> None:
    """Ask all runs to save, and give them the grace time; one that is just starting hears only a later request."""
    until = time.monotonic() + _GRACE_SECONDS
    while cluster.jobs() and time.monotonic() < until:
        cluster.stop()
        time.sleep(1.0)


def _tracker(where: config.Settings, study: str, tell: Callable[[str], object]) -> "Tracker | None":
    if where.tracking_uri == "none":
        return None
    from difair_hpc.cli.figures import draw_run
    from difair_hpc.runs.tracking import Tracker, default_uri

    uri = where.tracking_uri or default_uri(where.root)
    return Tracker(uri, root=where.root, study=study, draw=draw_run, tell=tell)


def _last_word(tracker: "Tracker", *, ended: bool) -> None:
    """Ship the report of a study that has ended; end the runs of the others whose process disappeared."""
    from difair_hpc.runs.reap import reap

    if ended:
        tracker.finish_study()
    reap(tracker.uri, tracker.root)
