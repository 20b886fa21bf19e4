"""A search that prunes, over a cluster in memory: what is stopped, told, marked and rebuilt, and what others do."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from difair_hpc.cli.marking import mark_folder
from difair_hpc.cli.overview import overview
from difair_hpc.cli.sync import rebuild_searches
from difair_hpc.config import build_run, settings
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import Attempt, newest
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import read_mark
from difair_hpc.sweep import pruning
from difair_hpc.sweep.describe import StageView
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec
from difair_hpc.sweep.storage import open_storage
from tests.sweep.made import accuracy_of, finish
from tests.sweep.studies import BASE, SEARCH, Bench

LONG = {**BASE, "protocol.epochs": 12, "protocol.evaluate_every": 2}
ALPHAS = (6, 7, 1, 5, 20)
"""Accuracies .95, .94, .90, .94 and .81. At the first rung one of two goes on, of three one, of four and five two; at
the second rung the first comes before the fourth."""
PRUNED = StageSpec(
    name="coarse",
    search="grid",
    base=LONG,
    space=(Axis(key="method.alpha", values=ALPHAS),),
    prune="restarts",
    choose=ChoiceRule(of="method.alpha"),
)
WHOLE = dataclasses.replace(PRUNED, prune=None)
STUDY = StudySpec(name="halved", stages=(PRUNED,))


def signature(alpha: float) -> str:
    return build_run(LONG, {"method.alpha": alpha}).signature


class Site(Bench):
    """Runs that train a cycle of four epochs at a time, and look at their marks in between."""

    def __init__(self, root: Path, *, parallel: int = 1) -> None:
        super().__init__(root, parallel=parallel)
        self.how = self.begin
        self.live: dict[str, tuple[Attempt, int]] = {}
        self.trained: dict[str, int] = {}
        """Epochs by run, however often it was begun."""

    def begin(self, run: str) -> None:
        if not (folder := run_folder(self.root, run)).state().hold:
            last = newest(folder.path)
            self.live[run] = Attempt(folder.path, {}), last.position[0] if last is not None else 0

    def go_on(self) -> None:
        """Let every live run see its mark, else train a cycle or write its result."""
        for run, (attempt, epoch) in list(self.live.items()):
            folder = run_folder(self.root, run)
            hold = folder.state().hold
            if hold or epoch == 12:
                attempt.end("stopped", signal=hold)
                del self.live[run]
            if epoch == 12:
                finish(self.root, run)
            elif not hold:
                self.train(attempt, run, epoch)

    def train(self, attempt: Attempt, run: str, epoch: int) -> None:
        folder = run_folder(self.root, run)
        value = accuracy_of(folder.spec())
        known = folder.points()
        points = [
            {"epoch": one, "time": 1e9 + sum(self.trained.values()) + one, "metrics": {"closed_set_accuracy": value}}
            for one in range(epoch + 1, epoch + 5)
            if one not in known
        ]
        spool.append(folder.path, points, attempt=attempt.number)
        attempt.at(epoch=epoch + 4, step=0, steps=1, accuracy=value)
        attempt._beat()
        self.live[run] = attempt, epoch + 4
        self.trained[run] = self.trained.get(run, 0) + 4

    def drive(self, study: StudySpec = STUDY, *, restart: bool = False) -> list[StageView]:
        reconciler = self.reconciler(study)
        for _ in range(200):
            seen = reconciler.tick()
            if len(seen) == len(study.stages) and seen[-1].complete and not self.live:
                return seen
            self.cluster.work()
            self.go_on()
            if restart:
                reconciler = self.reconciler(study)
        pytest.fail("the study never ended")


def stored(root: Path, study: str = "halved") -> list[FrozenTrial]:
    """Return what Optuna's journal holds of the study's only search."""
    storage = open_storage(root / "studies" / study / "optuna.journal")
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def told(trials: Sequence[FrozenTrial]) -> list[tuple[object, ...]]:
    return [(trial.number, trial.params, trial.state, trial.values, trial.intermediate_values) for trial in trials]


def pruned_of(view: StageView) -> set[float]:
    return {view.parameters[trial.number]["method.alpha"] for trial in view.trials if trial.pruned}


@pytest.mark.parametrize("restart", [False, True])
def test_the_worse_runs_are_stopped_at_the_first_rung_and_the_best_is_chosen(tmp_path: Path, restart: bool) -> None:
    site = Site(tmp_path)
    (view,) = site.drive(restart=restart)
    assert pruned_of(view) == {7, 1, 5, 20}
    assert view.choice is not None
    assert view.choice.chosen == ({"method.alpha": 6.0},)
    assert {alpha: site.trained[signature(alpha)] for alpha in ALPHAS} == {6: 12, 7: 4, 1: 4, 5: 8, 20: 4}
    assert read_mark(run_folder(tmp_path, signature(7)).path).by == (
        "stage coarse of study halved (closed_set_accuracy 0.9400 at epoch 4; 0.9500 was needed among the 2 runs that "
        "had come so far)"
    )


def test_optuna_holds_pruned_trials_with_their_values_at_the_rungs(tmp_path: Path) -> None:
    Site(tmp_path).drive()
    states = {trial.params["method.alpha"]: trial for trial in stored(tmp_path)}
    assert states[6].state is TrialState.COMPLETE
    assert states[6].intermediate_values == {1: 0.95, 2: 0.95}
    assert {alpha for alpha in ALPHAS if states[alpha].state is TrialState.PRUNED} == {7, 1, 5, 20}
    assert (states[7].values, states[7].intermediate_values) == ([0.94], {1: 0.94})
    assert states[7].user_attrs == {"signature": signature(7)}


def test_a_deleted_storage_is_rebuilt_with_the_same_pruned_trials(tmp_path: Path) -> None:
    Site(tmp_path).drive()
    before = told(stored(tmp_path))
    (tmp_path / "studies/halved/optuna.journal").unlink()
    assert rebuild_searches(settings({"root": str(tmp_path)}), pytest.fail) == (1, 5)
    assert told(stored(tmp_path)) == before
    (tmp_path / "studies/halved/optuna.journal").unlink()
    site = Site(tmp_path)
    (view,) = site.drive()
    assert (pruned_of(view), site.trained) == ({7, 1, 5, 20}, {})
    assert told(stored(tmp_path)) == before


class Crash(Exception):
    pass


@pytest.mark.parametrize("place", ["before the mark", "after the mark"])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_crash_between_verdict_mark_and_optuna_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, rebuilt: bool
) -> None:
    Site(tmp_path / "whole").drive()
    site = Site(tmp_path / "broken")
    real, crashes = pruning.stop, 0

    def stop(*arguments: object) -> None:
        nonlocal crashes
        if place == "after the mark":
            real(*arguments)  # type: ignore[arg-type]
        crashes += 1
        if crashes <= 3:
            raise Crash
        if place == "before the mark":
            real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("difair_hpc.sweep.reconcile.stop", stop)
    for _ in range(3):
        with pytest.raises(Crash):
            site.drive()
        if rebuilt:
            rebuild_searches(settings({"root": str(tmp_path / "broken")}), pytest.fail)
    (view,) = site.drive()
    assert pruned_of(view) == {7, 1, 5, 20}
    assert read_mark(run_folder(site.root, signature(7)).path).hold == "pruned"
    assert told(stored(tmp_path / "broken")) == told(stored(tmp_path / "whole"))


def test_another_study_trains_a_pruned_run_to_its_end_and_the_verdict_stands(tmp_path: Path) -> None:
    Site(tmp_path).drive()
    site = Site(tmp_path)
    (view,) = site.drive(StudySpec(name="all", stages=(WHOLE,)))
    assert pruned_of(view) == set()
    assert {alpha: site.trained.get(signature(alpha)) for alpha in ALPHAS} == {6: None, 7: 8, 1: 8, 5: 4, 20: 8}
    again = Site(tmp_path)
    (view,) = again.drive()
    assert (pruned_of(view), again.trained) == ({7, 1, 5, 20}, {})
    assert view.choice is not None
    assert view.choice.chosen == ({"method.alpha": 6.0},)


def test_a_run_that_two_studies_train_at_once_is_released_by_the_one_that_wants_all_of_it(tmp_path: Path) -> None:
    site = Site(tmp_path, parallel=5)
    whole, halved = site.reconciler(StudySpec(name="all", stages=(WHOLE,))), site.reconciler(STUDY)
    for _ in range(12):
        (all_of_it,) = whole.tick()
        (half,) = halved.tick()
        site.cluster.work()
        site.go_on()
    assert all_of_it.complete
    assert half.complete
    assert pruned_of(half) == {7, 1, 5, 20}
    assert {trial.state.status for trial in all_of_it.trials} == {"done"}
    assert set(site.trained.values()) == {12}


def test_a_later_stage_that_does_not_prune_trains_the_same_run_to_its_end(tmp_path: Path) -> None:
    later = dataclasses.replace(WHOLE, name="fine", space=(Axis(key="method.alpha", values=(6, 7)),))
    site = Site(tmp_path)
    coarse, fine = site.drive(StudySpec(name="both", stages=(PRUNED, later)))
    assert pruned_of(coarse) == {7, 1, 5, 20}
    assert {trial.state.status for trial in fine.trials} == {"done"}
    assert (site.trained[signature(7)], site.trained[signature(1)]) == (12, 4)


def test_a_later_stage_that_prunes_judges_a_run_before_it_trains_more_of_it(tmp_path: Path) -> None:
    axis = Axis(key="method.alpha", values=(7, 1, 20))
    later = dataclasses.replace(PRUNED, name="fine", space=(axis,), choose=ChoiceRule())
    site = Site(tmp_path)
    _, fine = site.drive(StudySpec(name="both", stages=(PRUNED, later)))
    assert pruned_of(fine) == {1, 20}
    assert {alpha: site.trained[signature(alpha)] for alpha in (7, 1, 20)} == {7: 12, 1: 4, 20: 4}


def test_a_user_brings_a_pruned_run_back_and_it_can_be_chosen_again(tmp_path: Path) -> None:
    Site(tmp_path).drive()
    before = told(stored(tmp_path))
    mark_folder("resume", run_folder(tmp_path, signature(7)).path)
    site = Site(tmp_path)
    (view,) = site.drive()
    assert site.trained == {signature(7): 8}
    assert pruned_of(view) == {1, 5, 20}
    assert view.choice is not None
    assert view.choice.reasons[0].startswith("2 of 2 configurations are eligible")
    assert told(stored(tmp_path)) == before, "Optuna does not forget"
    (tmp_path / "studies/halved/optuna.journal").unlink()
    Site(tmp_path).drive()
    assert told(stored(tmp_path)) == before


def test_a_stage_waits_for_a_pruned_run_that_has_not_left_yet(tmp_path: Path) -> None:
    site = Site(tmp_path, parallel=5)
    reconciler = site.reconciler(STUDY)
    (view,) = reconciler.tick()
    site.cluster.work()
    site.go_on()
    (view,) = reconciler.tick()
    assert pruned_of(view) == {7, 1, 20}
    assert (view.complete, view.waits) == (False, False)
    rows = {row.parameters["method.alpha"]: row for row in overview(settings({"root": str(tmp_path)}))[0].rows}
    assert (rows[1].state, rows[1].note) == ("running", "it leaves as soon as it has saved")


def test_status_says_what_was_pruned_and_why(tmp_path: Path) -> None:
    Site(tmp_path).drive()
    (study,) = overview(settings({"root": str(tmp_path)}))
    rows = {row.parameters["method.alpha"]: row for row in study.rows}
    assert {alpha: rows[alpha].state for alpha in ALPHAS} == {
        6: "done",
        7: "pruned",
        1: "pruned",
        5: "pruned",
        20: "pruned",
    }
    assert rows[5].note.startswith("closed_set_accuracy 0.9400 at epoch 8; 0.9500 was needed among the 2 runs")
    assert rows[7].next == f"nothing: its stage has pruned it; difair resume {signature(7)} trains it to its end"
    assert (rows[7].epoch, rows[7].epochs, rows[7].seconds_left) == (4, 12, 0.0)


def test_a_sampler_goes_on_from_pruned_trials_the_same_after_restarts(tmp_path: Path) -> None:
    search = dataclasses.replace(SEARCH, base=LONG, sampler="tpe", trials=14, prune="restarts")
    study = StudySpec(name="halved", stages=(search,))
    (whole,) = Site(tmp_path / "whole").drive(study)
    (broken,) = Site(tmp_path / "broken").drive(study, restart=True)
    assert whole.parameters == broken.parameters
    assert pruned_of(whole) == pruned_of(broken) != set()
    assert told(stored(tmp_path / "whole")) == told(stored(tmp_path / "broken"))


def test_a_stage_that_prunes_is_another_list_of_trials(tmp_path: Path) -> None:
    (with_,), (without,) = Site(tmp_path).drive(), Site(tmp_path).drive(StudySpec(name="halved", stages=(WHOLE,)))
    assert with_.book != without.book
    assert len(ledger(tmp_path, "halved").rungs(with_.book)) == 5 + 2
    assert ledger(tmp_path, "halved").rungs(without.book) == []
