"""The reconciler: one tick looks at a study's folders and jobs, plans, and carries the plan out.

It holds nothing that a crash could lose: ledger, waves and run folders say where the study stands.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc.errors import Failure, LimitReached, RunBusy, StorageUnreachable
from difair_hpc.folders import make_folder
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import end_pruning, read_mark
from difair_hpc.runs.spec import flat
from difair_hpc.sweep.cluster import Cluster
from difair_hpc.sweep.describe import StageView, description
from difair_hpc.sweep.jobs import Job, Order
from difair_hpc.sweep.ledger import Ledger, Trial, ledger
from difair_hpc.sweep.nodes import BadNodes, NodeRule
from difair_hpc.sweep.plan import Action, Limits, TrialView, finished, plan
from difair_hpc.sweep.pruning import judge, pruned_runs, stop
from difair_hpc.sweep.sight import Sight
from difair_hpc.sweep.space import Build, Parameters, certain_trials, resolved, run_of, searched_methods
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec
from difair_hpc.sweep.stages import Candidate, Choice, choose

if TYPE_CHECKING:
    from difair_hpc.sweep.study import Search


class Reconciler:
    """Drives one study; only one may be at work at a time (the caller holds the study's lease)."""

    def __init__(
        self,
        study: StudySpec,
        *,
        root: Path,
        build: Build,
        cluster: Cluster,
        limits: Limits,
        storage: str = "",
        nodes: NodeRule | None = None,
        counts: Callable[[], bool] = lambda: True,
    ) -> None:
        """Keep what a tick needs; nothing is read or written yet.

        Args:
            study: Its stages.
            root: Output root.
            build: Makes the run of a trial.
            cluster: Takes the jobs.
            limits: Of the profile.
            storage: Optuna's, as `config.Settings` has it.
            nodes: When a node is left out for a while.
            counts: Whether this process still holds the study's lease; asked before anything is submitted.
        """
        self.study = study
        self.ledger: Ledger = ledger(root, study.name)
        self.root = root
        self._build = build
        self._cluster = cluster
        self._limits = limits
        self._storage = storage
        self._counts = counts
        self._held = ""
        self.pressure = ""
        """What the site said in the last tick of a limit on jobs; what is left is submitted by a later one."""
        self._searches: dict[str, Search] = {}
        self._sight = Sight(root, cluster)
        self._nodes = BadNodes(self.ledger.path / "nodes.json", nodes or NodeRule())

    def tick(self, *, submit: bool = True) -> list[StageView]:
        """Advance the study by one pass and return where its stages stand, up to the first unfinished one.

        Args:
            submit: False only tells and chooses, and starts nothing new.
        """
        make_folder(self.ledger.path)
        mark = read_mark(self.ledger.path)
        self._held = f"it was {mark.hold} by {mark.by}" if mark.hold else ""
        self.pressure = ""
        seen: list[StageView] = []
        chosen: dict[str, Sequence[Parameters]] = {}
        for stage in self.study.stages:
            try:
                view = self._advance(stage, chosen, submit=submit and not self._held)
            except StorageUnreachable:
                self._searches.clear()  # opened anew, a journal that was damaged meanwhile is rebuilt
                raise
            seen.append(view)
            if not view.complete:
                break
            if view.choice is not None:
                chosen[stage.name] = view.choice.chosen
        described = description(self.study, seen)
        if described != self.ledger.description():
            self.ledger.describe(described)
        return seen

    def _advance(self, stage: StageSpec, chosen: Mapping[str, Sequence[Parameters]], *, submit: bool) -> StageView:
        axes = resolved(stage.space, chosen)
        wanted = certain_trials(stage, chosen, axes, searched_methods(self.study, stage.chosen_in))
        planned = stage.trials if stage.search == "optuna" else len(wanted)
        book = f"{stage.name}-{_identity(stage, axes, wanted)}"
        trials = self._proposed(stage, book, axes, wanted)
        jobs = self._cluster.jobs()  # before the states: a job that ends in between is seen as ended a tick later
        views_ = self._views(stage, book, axes, trials, jobs)
        elsewhere = self._over_elsewhere(jobs, trials)
        to_propose = planned - len(trials)
        actions = plan(views_, to_propose=to_propose, jobs=jobs, limits=self._limits, elsewhere=elsewhere)
        for action in actions:
            if action.kind in ("tell", "give_up", "prune") or (submit and action.kind == "propose"):
                self._carry_out(action, stage, book, axes)
        if submit and any(action.kind == "propose" for action in actions):  # a slot is free: fill it in this tick
            trials = self._proposed(stage, book, axes, wanted)
            views_ = self._views(stage, book, axes, trials, jobs)
            actions = plan(views_, to_propose=0, jobs=jobs, limits=self._limits, elsewhere=elsewhere)
        submitted = 0
        halts = [action.reason for action in actions if action.kind == "halt"]
        if submit:
            submitted = self._submit([action for action in actions if action.kind == "submit"], stage, trials, views_)
        leaving = any(view.pruned and view.state.status == "running" for view in views_)
        over = not leaving and all(finished(view, self._limits) for view in views_)
        complete = not self._held and len(trials) >= planned and over
        choice = None
        if complete and stage.search != "final" and stage.choose is not None:
            choice = self._chosen(stage, stage.choose, trials, views_)
        return StageView(
            stage=stage,
            book=book,
            axes=tuple(axes),
            planned=planned,
            trials=tuple(views_),
            parameters={trial.number: trial.parameters for trial in trials},
            jobs=tuple(jobs),
            submitted=submitted,
            epochs=self._build(stage.base, trials[0].parameters).protocol.epochs if trials else 0,
            complete=complete,
            halted=self._with_last_words(halts[0], views_) if halts else self._held,
            choice=choice,
        )

    def _proposed(self, stage: StageSpec, book: str, axes: Sequence[Axis], wanted: Sequence[Parameters]) -> list[Trial]:
        """Return the stage's trials, after those that are certain from the start have been put on record."""
        search = self._search(stage, book, axes)
        trials = self.ledger.trials(book)
        known = {trial.number for trial in trials}  # a damaged line in the middle leaves a gap
        new = [self._trial(stage, number, what) for number, what in enumerate(wanted) if number not in known]
        self.ledger.add(book, *new)
        trials = sorted([*trials, *new], key=lambda trial: trial.number)
        if search is not None:
            search.catch_up(trials)
        return trials

    def _trial(self, stage: StageSpec, number: int, parameters: Parameters) -> Trial:
        return Trial(number=number, parameters=parameters, signature=run_of(stage, parameters, self._build).signature)

    def _views(
        self, stage: StageSpec, book: str, axes: Sequence[Axis], trials: Sequence[Trial], jobs: Sequence[Job]
    ) -> list[TrialView]:
        search = self._search(stage, book, axes)
        told = search.told() if search is not None else {trial.number for trial in trials}
        self._sight.expect(jobs)
        seen = [
            replace(self._sight.view(trial.signature), number=trial.number, told=trial.number in told)
            for trial in trials
        ]
        if search is None or stage.prune is None or not trials:
            return seen
        states = list({view.state.signature: view.state for view in seen}.values())
        protocol = self._build(stage.base, trials[0].parameters).protocol
        search.report(trials, judge(self.ledger, book, stage, protocol, states=states, root=self.root))
        pruned = pruned_runs(self.ledger, book, self.root)
        return [replace(view, pruned=pruned.get(view.state.signature, "")) for view in seen]

    def _over_elsewhere(self, jobs: Sequence[Job], trials: Sequence[Trial]) -> set[str]:
        """Return the runs of other stages, listed by a job, that nobody will execute: finished, or held back."""
        others = {run for job in jobs for run in job.runs} - {trial.signature for trial in trials}
        views = [self._sight.view(run) for run in others]
        return {view.state.signature for view in views if finished(view, self._limits) or view.state.hold}

    def _carry_out(self, action: Action, stage: StageSpec, book: str, axes: Sequence[Axis]) -> None:
        search = self._search(stage, book, axes)
        if action.kind == "propose":
            assert search is not None, "only a sampler proposes one by one"
            self.ledger.add(book, self._trial(stage, *search.propose()))
        elif search is not None:
            if action.kind == "prune":
                stop(self.ledger, book, action.signature, action.reason, self.root)
                self._sight.forget(action.signature)
            pruned = any(rung.pruned and rung.run == action.signature for rung in self.ledger.rungs(book))
            result = run_folder(self.root, action.signature).result()
            evaluation = None if result is None else result["evaluation"]
            search.tell(action.trial, evaluation, signature=action.signature, pruned=pruned)

    def _submit(
        self, actions: Sequence[Action], stage: StageSpec, trials: Sequence[Trial], seen: Sequence[TrialView]
    ) -> int:
        """Submit all jobs of a tick at once, as one wave and one array; return how many there are."""
        by_signature = {trial.signature: trial for trial in trials}
        attempts = {view.state.signature: view.state.attempts for view in seen}
        orders = [
            Order(
                runs=(action.signature, *action.more),
                begun=attempts[action.signature],
                memory_factor=action.memory_factor,
            )
            for action in actions
        ]
        if not orders:
            return 0
        if not self._counts():
            raise RunBusy(f"study {self.study.name} was taken over by another process; this one submits nothing.")
        for signature in {signature for order in orders for signature in order.runs}:
            spec = run_of(stage, by_signature[signature].parameters, self._build)
            run_folder(self.root, signature).create(spec)
            end_pruning(run_folder(self.root, signature).path)
            self._sight.forget(signature)
        try:
            self._cluster.submit(orders, exclude=self._nodes.now(self._sight.accidents.values()))
        except LimitReached as error:
            self.pressure = str(error)
            return 0
        return len(orders)

    def _with_last_words(self, halt: str, seen: Sequence[TrialView]) -> str:
        unbegun = [view.state.signature for view in seen if view.unbegun >= self._limits.unbegun]
        words = self._cluster.last_words(unbegun[0]) if unbegun else ""
        return f"{halt}:\n{words or 'they left no message'}" if unbegun else halt

    def _search(self, stage: StageSpec, book: str, axes: Sequence[Axis]) -> "Search | None":
        if stage.search == "final":
            return None
        if book not in self._searches:
            from difair_hpc.sweep.study import open_search

            self._searches[book] = open_search(self.ledger, url=self._storage, book=book, stage=stage, axes=axes)
        return self._searches[book]

    def _chosen(self, stage: StageSpec, rule: ChoiceRule, trials: Sequence[Trial], seen: Sequence[TrialView]) -> Choice:
        candidates = [
            Candidate(
                signature=trial.signature,
                parameters=trial.parameters,
                keys=flat(view.state.result["spec"]),
                metrics=view.state.result["evaluation"] or {},
            )
            for trial, view in zip(trials, seen, strict=True)
            if view.state.result is not None and not view.pruned
        ]
        choice = choose(rule, candidates)
        if not choice.chosen:
            raise Failure(f"stage {stage.name} can choose nothing: {' '.join(choice.reasons)}")
        return choice


def _identity(stage: StageSpec, axes: Sequence[Axis], wanted: Sequence[Parameters]) -> str:
    """Name a stage by what is asked in it: another grid or another base is another list of trials, never a mix."""
    content = [dict(stage.base), [repr(axis) for axis in axes], list(wanted), stage.objectives, stage.sampler]
    content += [stage.prune] if stage.prune else []
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]
