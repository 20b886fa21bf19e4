"""The reconciler: one tick looks at a study's folders and jobs, plans, and carries the plan out.

It holds nothing that a crash could lose: ledger and run folders say where the study stands.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.errors import Failure
from difair_hpc.runs.attempts import views
from difair_hpc.runs.folder import RunState, run_folder
from difair_hpc.runs.spec import RunSpec, flat
from difair_hpc.sweep.cluster import Cluster
from difair_hpc.sweep.ledger import Ledger, Trial, ledger
from difair_hpc.sweep.plan import Action, Limits, TrialView, finished, plan
from difair_hpc.sweep.space import Parameters, certain_trials, resolved
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec
from difair_hpc.sweep.stages import Candidate, Choice, choose

if TYPE_CHECKING:
    from difair_hpc.sweep.study import Search

BuildRun = Callable[[Mapping[str, Any], Parameters], RunSpec]
"""From a stage's base and a trial's parameters to the run."""

NO_ATTEMPT_LIMIT = 3
"""Jobs of a run that may end without ever beginning an attempt before the study stops and says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageView:
    """Where a stage stands."""

    stage: StageSpec
    planned: int
    trials: tuple[TrialView, ...]
    parameters: Mapping[int, Parameters]
    """Trial number to searched values."""
    epochs: int
    """Of each run."""
    starting: int
    """Jobs whose run has not begun yet."""
    complete: bool
    choice: Choice | None = None

    @property
    def states(self) -> dict[str, RunState]:
        """Signature to state; trials that share a run count once."""
        return {trial.state.signature: trial.state for trial in self.trials}


class Reconciler:
    """Drives one study; only one may be at work at a time (the caller holds the study's lease)."""

    def __init__(self, study: StudySpec, *, root: Path, build: BuildRun, cluster: Cluster, limits: Limits) -> None:
        """Keep what a tick needs; nothing is read or written yet."""
        self.study = study
        self.ledger: Ledger = ledger(root, study.name)
        self.root = root
        self._build = build
        self._cluster = cluster
        self._limits = limits
        self._searches: dict[str, Search] = {}
        self._attempts_before: dict[str, int] = {}
        self._unbegun: Counter[str] = Counter()

    def tick(self, *, submit: bool = True) -> list[StageView]:
        """Advance the study by one pass and return where its stages stand, up to the first unfinished one.

        Args:
            submit: False only tells and chooses, and starts nothing new.
        """
        self.ledger.path.mkdir(parents=True, exist_ok=True)
        seen: list[StageView] = []
        chosen: dict[str, Sequence[Parameters]] = {}
        for stage in self.study.stages:
            view = self._advance(stage, chosen, submit=submit)
            seen.append(view)
            if not view.complete:
                break
            if view.choice is not None:
                chosen[stage.name] = view.choice.chosen
        description = _description(self.study, seen)
        if description != self.ledger.description():
            self.ledger.describe(description)
        return seen

    def _advance(self, stage: StageSpec, chosen: Mapping[str, Sequence[Parameters]], *, submit: bool) -> StageView:
        axes = resolved(stage.space, chosen)
        wanted = certain_trials(stage, chosen, axes)
        planned = stage.trials if stage.search == "optuna" else len(wanted)
        book = f"{stage.name}-{_identity(stage, axes, wanted)}"
        trials = self._proposed(stage, book, axes, wanted)
        jobs = self._cluster.jobs()  # before the states: a job that ends in between is seen as ended a tick later
        views_ = self._views(stage, book, axes, trials)
        actions = plan(views_, to_propose=planned - len(trials), jobs=jobs, limits=self._limits)
        for action in actions:
            if action.kind in ("tell", "give_up") or (submit and action.kind == "propose"):
                self._carry_out(action, stage, book, axes)
        if submit:
            self._submit([action for action in actions if action.kind == "submit"], stage, trials)
        complete = len(trials) >= planned and all(finished(view, self._limits) for view in views_)
        choice = None
        if complete and stage.search != "final":
            choice = self._chosen(stage, trials, views_)
        return StageView(
            stage=stage,
            planned=planned,
            trials=tuple(views_),
            parameters={trial.number: trial.parameters for trial in trials},
            starting=max(0, len(jobs) - len([view for view in views_ if view.state.status == "running"])),
            epochs=self._build(stage.base, trials[0].parameters).protocol.epochs if trials else 0,
            complete=complete,
            choice=choice,
        )

    def _proposed(self, stage: StageSpec, book: str, axes: Sequence[Axis], wanted: Sequence[Parameters]) -> list[Trial]:
        """Return the stage's trials, after those that are certain from the start have been put on record."""
        trials = self.ledger.trials(book)
        search = self._search(stage, book, axes)
        if search is not None:
            search.catch_up(trials)
        for number in range(len(trials), len(wanted)):
            if search is not None:
                assigned, _ = search.propose(wanted[number])
                assert assigned == number, "the ledger and Optuna count alike"
            trials.append(self._record(stage, book, number, wanted[number]))
        return trials

    def _record(self, stage: StageSpec, book: str, number: int, parameters: Parameters) -> Trial:
        signature = self._build(stage.base, parameters).signature
        trial = Trial(number=number, parameters=parameters, signature=signature)
        self.ledger.add(book, trial)
        return trial

    def _views(self, stage: StageSpec, book: str, axes: Sequence[Axis], trials: Sequence[Trial]) -> list[TrialView]:
        search = self._search(stage, book, axes)
        told = search.told() if search is not None else {trial.number for trial in trials}
        states: dict[str, RunState] = {}
        result = []
        for trial in trials:
            folder = run_folder(self.root, trial.signature)
            state = states.setdefault(trial.signature, folder.state())
            failures = 0
            if state.status in ("failed", "dead"):
                failures = sum((view.end or {"reason": "failed"})["reason"] == "failed" for view in views(folder.path))
            result.append(TrialView(number=trial.number, state=state, failures=failures, told=trial.number in told))
        return result

    def _carry_out(self, action: Action, stage: StageSpec, book: str, axes: Sequence[Axis]) -> None:
        search = self._search(stage, book, axes)
        if action.kind == "propose":
            assert search is not None, "only a sampler proposes one by one"
            self._record(stage, book, *search.propose())
        elif search is not None:
            result = run_folder(self.root, action.signature).result()
            evaluation = None if result is None else result["evaluation"]
            search.tell(action.trial, evaluation, signature=action.signature)

    def _submit(self, actions: Sequence[Action], stage: StageSpec, trials: Sequence[Trial]) -> None:
        """Submit all jobs of a tick at once: one wave, one array."""
        by_signature = {trial.signature: trial for trial in trials}
        jobs = [(action.signature, *action.more) for action in actions]
        for signature in {signature for job in jobs for signature in job}:
            spec = self._build(stage.base, by_signature[signature].parameters)
            run_folder(self.root, signature).create(spec)
        for action in actions:
            self._count_unbegun(action.signature)
        if jobs:
            self._cluster.submit(jobs)

    def _count_unbegun(self, signature: str) -> None:
        """Give up on a run whose jobs end one after another before they begin it."""
        attempts = run_folder(self.root, signature).state().attempts
        again = self._attempts_before.get(signature) == attempts
        self._attempts_before[signature] = attempts
        self._unbegun[signature] = self._unbegun[signature] + 1 if again else 0
        if self._unbegun[signature] >= NO_ATTEMPT_LIMIT:
            words = self._cluster.last_words(signature) or "they left no message"
            raise Failure(f"{NO_ATTEMPT_LIMIT} jobs of run {signature} ended before the run began:\n{words}")

    def _search(self, stage: StageSpec, book: str, axes: Sequence[Axis]) -> "Search | None":
        if stage.search == "final":
            return None
        if book not in self._searches:
            from difair_hpc.sweep.study import Search

            journal = self.ledger.path / "optuna.journal"
            self._searches[book] = Search(journal=journal, name=f"{self.study.name}/{book}", stage=stage, axes=axes)
        return self._searches[book]

    def _chosen(self, stage: StageSpec, trials: Sequence[Trial], seen: Sequence[TrialView]) -> Choice:
        candidates = [
            Candidate(
                signature=trial.signature,
                parameters=trial.parameters,
                keys=flat(view.state.result["spec"]),
                metrics=view.state.result["evaluation"] or {},
            )
            for trial, view in zip(trials, seen, strict=True)
            if view.state.result is not None
        ]
        choice = choose(stage.choose, candidates)
        if not choice.chosen:
            raise Failure(f"stage {stage.name} can choose nothing: {' '.join(choice.reasons)}")
        return choice


def _identity(stage: StageSpec, axes: Sequence[Axis], wanted: Sequence[Parameters]) -> str:
    """Name a stage by what is asked in it: another grid or another base is another list of trials, never a mix."""
    content = [dict(stage.base), [repr(axis) for axis in axes], list(wanted), stage.objectives, stage.sampler]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]


def _description(study: StudySpec, seen: Sequence[StageView]) -> dict[str, Any]:
    by_name = {view.stage.name: view for view in seen}
    stages = []
    for stage in study.stages:
        view = by_name.get(stage.name)
        trials = () if view is None else view.trials
        stages.append(
            {
                "name": stage.name,
                "search": stage.search,
                "planned": None if view is None else view.planned,
                "complete": view is not None and view.complete,
                "trials": [
                    {"number": t.number, "signature": t.state.signature, "parameters": dict(view.parameters[t.number])}
                    for t in trials
                    if view is not None
                ],
                "chosen": [dict(c) for c in view.choice.chosen] if view is not None and view.choice else [],
                "reasons": list(view.choice.reasons) if view is not None and view.choice else [],
            }
        )
    return {"study": study.name, "stages": stages}
