"""Optuna's side of a search stage: a projection of the ledger that proposes trials and is told how they end.

Only the holder of the study's lease opens it for writing. A storage that is gone or cannot be read is rebuilt from the
ledger with the same trial numbers.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from difair_hpc.sweep.ledger import Trial
from difair_hpc.sweep.space import Parameters
from difair_hpc.sweep.spec import Axis, StageSpec

_LIVE = (TrialState.RUNNING, TrialState.WAITING)


class Search:
    """One search stage in Optuna."""

    def __init__(self, *, journal: Path, name: str, stage: StageSpec, axes: Sequence[Axis], seed: int = 0) -> None:
        """Open or make the Optuna study `name`.

        Args:
            journal: Optuna's journal file; made if absent, moved aside if it cannot be read.
            name: Of the Optuna study.
            stage: The stage; its objectives are maximised.
            axes: Its space, with the values of earlier stages filled in.
            seed: Of the sampler, which is made anew for each proposal: what it draws follows from the history alone.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.axes = axes
        self.stage = stage
        self._name = name
        self._study = self._open(_storage(journal))
        self._seed = seed

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Hold the trials of the ledger, with their numbers, and no others.

        Where its writer died within a proposal, the storage may hold half a trial, or one that the ledger lacks and
        nobody ever ran: then the study is made anew from the ledger.
        """
        held = self._study.trials
        begun = trials[: len(held)]
        if len(held) > len(trials) or any(_differ(own, trial) for own, trial in zip(held, begun, strict=True)):
            optuna.delete_study(study_name=self._study.study_name, storage=self._study._storage)
            self._study = self._open(self._study._storage)
        for trial in trials[len(self._study.trials) :]:
            self._ask(trial.parameters)

    def propose(self, fixed: Parameters | None = None) -> tuple[int, Parameters]:
        """Return number and parameters of a new trial: `fixed` ones (a grid's), or the sampler's."""
        return self._ask(fixed)

    def told(self) -> set[int]:
        """Return the numbers of the trials that have ended for Optuna."""
        return {trial.number for trial in self._study.trials if trial.state not in _LIVE}

    def tell(self, number: int, metrics: Mapping[str, float | None] | None, *, signature: str) -> None:
        """Tell how a trial ended: its metrics, or None where it failed; a diverged run has no metrics and fails too."""
        trial = self._study.trials[number]
        self._study._storage.set_trial_user_attr(trial._trial_id, "signature", signature)
        values = [] if metrics is None else [metrics.get(name) for name in self.stage.objectives]
        whole = [float(value) for value in values if value is not None]
        if len(whole) == len(self.stage.objectives):
            self._study.tell(number, whole)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _open(self, storage: BaseStorage) -> optuna.Study:
        directions = [StudyDirection.MAXIMIZE] * len(self.stage.objectives)
        return optuna.create_study(storage=storage, study_name=self._name, directions=directions, load_if_exists=True)

    def _ask(self, fixed: Parameters | None) -> tuple[int, Parameters]:
        self._study.sampler = _sampler(self.stage, self._seed + len(self._study.trials))
        if fixed is not None:
            self._study.enqueue_trial(fixed)
        trial = self._study.ask({axis.key: _distribution(axis) for axis in self.axes})
        return trial.number, dict(trial.params)


def _storage(journal: Path) -> JournalStorage:
    path = journal.absolute()
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink(missing_ok=True)
    try:
        if path.exists() and not _ends_whole(path):
            raise ValueError("torn last line")
        return JournalStorage(JournalFileBackend(str(path)))
    except _UNREADABLE:
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return JournalStorage(JournalFileBackend(str(path)))


_UNREADABLE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    optuna.exceptions.OptunaError,
)
"""What Optuna raises on a journal that it cannot replay; one torn line makes it refuse all of it for good."""


def _ends_whole(path: Path) -> bool:
    content = path.read_bytes()
    return not content or content.endswith(b"\n")


def _differ(held: FrozenTrial, trial: Trial) -> bool:
    return held.state is TrialState.WAITING or dict(held.params) != trial.parameters


def _sampler(stage: StageSpec, seed: int) -> BaseSampler:
    if stage.sampler == "gp":
        return GPSampler(seed=seed)
    if stage.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, constant_liar=True)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.values:
        return CategoricalDistribution(axis.values)
    assert axis.low is not None, "config.py admits only whole axes"
    assert axis.high is not None, "config.py admits only whole axes"
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
