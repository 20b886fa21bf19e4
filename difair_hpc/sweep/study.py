"""Optuna's side of a search stage: a projection of the ledger that proposes trials and is told how they end.

Only the holder of the study's lease opens it for writing. A storage that is gone or cannot be read is rebuilt from the
ledger with the same trial numbers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from difair_hpc.folders import exists
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.describe import searched
from difair_hpc.sweep.ledger import Ledger, Rung, Trial
from difair_hpc.sweep.pruning import was_stopped
from difair_hpc.sweep.space import Parameters
from difair_hpc.sweep.spec import Axis, StageSpec
from difair_hpc.sweep.storage import Place, add_trials, explained, open_storage

JOURNAL = "optuna.journal"
"""Optuna's storage in the study's folder."""

_LIVE = (TrialState.RUNNING, TrialState.WAITING)


class Search:
    """One search stage in Optuna; `catch_up` comes before everything else."""

    def __init__(self, *, storage: Place, name: str, stage: StageSpec, axes: Sequence[Axis], seed: int = 0) -> None:
        """Open or make the Optuna study `name`.

        Args:
            storage: Optuna's journal file, or the URL of a PostgreSQL database.
            name: Of the Optuna study.
            stage: The stage; its objectives are maximised.
            axes: Its space, with the values of earlier stages filled in.
            seed: Of the sampler, which is made anew for each proposal: what it draws follows from the history alone.

        Raises:
            Failure: the storage cannot be used; so do all methods.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.axes = axes
        self.stage = stage
        self._place = storage
        self._name = name
        self._seed = seed
        self._distributions = {axis.key: _distribution(axis) for axis in axes}
        # There is one writer, so what was read or written once need not be read again.
        self._count: int | None = None
        self._ended: set[int] = set()
        self._reported: set[tuple[str, int]] = set()
        with explained(storage):
            self._storage = open_storage(storage)
            self._study = self._opened()

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Hold the trials of the ledger, with their numbers, and no others.

        Where its writer died within a proposal, the storage may hold half a trial, or one that the ledger lacks and
        nobody ever ran: then the study is made anew from the ledger.
        """
        if self._count == len(trials):
            return
        with explained(self._place):
            held = self._study.get_trials(deepcopy=False)
            begun = trials[: len(held)]
            if len(held) > len(trials) or any(_differ(own, trial) for own, trial in zip(held, begun, strict=True)):
                optuna.delete_study(study_name=self._name, storage=self._storage)
                self._study = self._opened()
                held = []
                self._reported.clear()
            if missing := [self._running(trial) for trial in trials[len(held) :]]:
                add_trials(self._place, self._storage, self._name, missing)
        self._ended = {trial.number for trial in held if trial.state not in _LIVE}
        self._count = len(trials)

    def propose(self) -> tuple[int, Parameters]:
        """Return number and parameters of the sampler's next trial."""
        assert self._count is not None, "catch_up comes first"
        with explained(self._place):
            self._study.sampler = _sampler(self.stage, self._seed + self._count)
            trial = self._study.ask(self._distributions)
        self._count += 1
        lists = {axis.key: {_for_optuna(value): value for value in axis.values} for axis in self.axes}
        return trial.number, {key: lists[key].get(value, value) for key, value in trial.params.items()}

    def told(self) -> set[int]:
        """Return the numbers of the trials that have ended for Optuna."""
        return set(self._ended)

    def report(self, trials: Sequence[Trial], rungs: Sequence[Rung]) -> None:
        """Hold the value of each rung, with finished cycles as step, for the trials of its run that have not ended."""
        for rung in rungs:
            if (rung.run, rung.cycle) in self._reported:
                continue
            with explained(self._place):
                for number in [one.number for one in trials if one.signature == rung.run]:
                    trial = self._storage.get_trial(self._id(number))
                    if trial.state in _LIVE and rung.cycle not in trial.intermediate_values:
                        self._storage.set_trial_intermediate_value(trial._trial_id, rung.cycle, rung.value)
            self._reported.add((rung.run, rung.cycle))

    def tell(
        self, number: int, metrics: Mapping[str, float | None] | None, *, signature: str, pruned: bool = False
    ) -> None:
        """Tell how a trial ended: its metrics, or None where it failed; a diverged run has no metrics and fails too.

        With `pruned` its last value at a rung is what Optuna goes by, whatever came of the run since.
        """
        values = [] if metrics is None else [metrics.get(name) for name in self.stage.objectives]
        whole = [float(value) for value in values if value is not None]
        with explained(self._place):
            self._storage.set_trial_user_attr(self._id(number), "signature", signature)
            if pruned:
                self._study.tell(number, state=TrialState.PRUNED)
            elif len(whole) == len(self.stage.objectives):
                self._study.tell(number, whole)
            else:
                self._study.tell(number, state=TrialState.FAIL)
        self._ended.add(number)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _opened(self) -> optuna.Study:
        try:
            return optuna.load_study(study_name=self._name, storage=self._storage)
        except KeyError:  # Optuna's own load_if_exists would write a line to the journal with every opening
            directions = [StudyDirection.MAXIMIZE] * len(self.stage.objectives)
            return optuna.create_study(storage=self._storage, study_name=self._name, directions=directions)

    def _running(self, trial: Trial) -> FrozenTrial:
        params = _all_for_optuna(trial.parameters)
        return create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)


def open_search(folder: Ledger, *, url: str, book: str, stage: StageSpec, axes: Sequence[Axis]) -> Search:
    """Open the search of a stage of the study in `folder`: in the journal there, or in the database of `url`."""
    if url:
        return Search(storage=url, name=f"{folder.database_name()}/{book}", stage=stage, axes=axes)
    return Search(storage=folder.path / JOURNAL, name=f"{folder.path.name}/{book}", stage=stage, axes=axes)


def is_kept(folder: Ledger, *, url: str) -> bool:
    """Whether Optuna's storage has a search of the study in `folder`."""
    if not url:
        return exists(folder.path / JOURNAL)
    with explained(url):
        names = optuna.get_all_study_names(open_storage(url))
    return any(name.startswith(f"{folder.database_name()}/") for name in names)


def rebuild(
    folder: Ledger, described: Mapping[str, Any], *, root: Path, url: str, lost: Callable[[str], bool] = lambda _: False
) -> int:
    """Bring a stage of study.json up to date in Optuna, from ledger and run folders, and return its number of trials.

    The caller holds the study's lease.

    Args:
        folder: The study's.
        described: The stage, as study.json has it.
        root: Output root.
        url: Of the database; empty: the journal.
        lost: Whether a run without a result was given up; else its trial stays running until the stage is complete.
    """
    stage = searched(described)
    assert stage is not None, "the caller asked"
    trials = folder.trials(described["book"])
    search = open_search(folder, url=url, book=described["book"], stage=stage, axes=stage.space)
    search.catch_up(trials)
    rungs = folder.rungs(described["book"])
    search.report(trials, rungs)
    pruned = {rung.run for rung in rungs if rung.pruned}
    told = search.told()
    for trial in trials:
        if trial.number in told:
            continue
        if trial.signature in pruned:
            if was_stopped(folder, described["book"], trial.signature, root):  # else the next tick does both
                search.tell(trial.number, None, signature=trial.signature, pruned=True)
            continue
        state = run_folder(root, trial.signature).state()
        if state.result is not None:
            search.tell(trial.number, state.result["evaluation"], signature=trial.signature)
        elif state.status != "running" and (described["complete"] or lost(trial.signature)):
            search.tell(trial.number, None, signature=trial.signature)
    return len(trials)


def _differ(held: FrozenTrial, trial: Trial) -> bool:
    return held.state is TrialState.WAITING or dict(held.params) != _all_for_optuna(trial.parameters)


def _all_for_optuna(parameters: Parameters) -> Parameters:
    return {key: _for_optuna(value) for key, value in parameters.items()}


def _for_optuna(value: Any) -> Any:
    """Return a list as text: Optuna's storages keep null, booleans, numbers and texts."""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _sampler(stage: StageSpec, seed: int) -> BaseSampler:
    if stage.sampler == "gp":
        return GPSampler(seed=seed)
    if stage.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, constant_liar=True)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.values:
        return CategoricalDistribution([_for_optuna(value) for value in axis.values])
    assert axis.low is not None, "config.py admits only whole axes"
    assert axis.high is not None, "config.py admits only whole axes"
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
