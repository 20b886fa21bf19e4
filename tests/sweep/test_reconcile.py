"""The reconciler over a cluster in memory: whole studies in milliseconds, with everything that can go wrong."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.config import build_run
from difair_hpc.errors import Failure
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec
from tests.sweep.made import die, fail, finish, results
from tests.sweep.studies import BASE, COARSE, FINAL, SEARCH, STUDY, Bench, signature_of


def test_a_study_goes_through_all_stages_and_carries_its_choices_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    coarse, fine, final = bench.drive()
    assert coarse.choice is not None
    assert fine.choice is not None
    # Accuracies are .95 minus a hundredth per alpha away from 6: .91, .95, .91 all lie within .05.
    assert coarse.choice.chosen == ({"method.alpha": 10}, {"method.alpha": 6})
    assert [fine.parameters[n] for n in range(4)] == [
        {"method.alpha": 6.0, "method.radius_coefficient": 0.3},
        {"method.alpha": 6.0, "method.radius_coefficient": 0.4},
        {"method.alpha": 10.0, "method.radius_coefficient": 0.3},
        {"method.alpha": 10.0, "method.radius_coefficient": 0.4},
    ]
    assert fine.choice.chosen == ({"method.alpha": 6.0, "method.radius_coefficient": 0.4},)
    assert [final.parameters[n].get("method.alpha") for n in range(4)] == [None, None, 6.0, 6.0]
    assert [view.planned for view in (coarse, fine, final)] == [3, 4, 4]
    assert final.choice is None
    # 3 coarse; fine repeats two of them (0.4 is the default), 2 new; final: cross entropy twice, difair on split 1.
    assert len(bench.executed) == len(set(bench.executed)) == 3 + 2 + 3


def test_the_study_is_described_as_data(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reconciler().tick()
    early = ledger(tmp_path, "mini").description()
    assert early is not None
    assert [stage["planned"] for stage in early["stages"]] == [3, None, None]
    assert [stage["complete"] for stage in early["stages"]] == [False, False, False]
    bench.drive()
    late = ledger(tmp_path, "mini").description()
    assert late is not None
    assert json.loads((tmp_path / "studies/mini/study.json").read_text()) == late
    assert late["study"] == "mini"
    assert [stage["name"] for stage in late["stages"]] == ["coarse", "fine", "final"]
    assert all(stage["complete"] for stage in late["stages"])
    assert late["stages"][0]["chosen"] == [{"method.alpha": 10}, {"method.alpha": 6}]
    assert late["stages"][0]["trials"][1] == {
        "number": 1,
        "signature": signature_of(method__alpha=6),
        "parameters": {"method.alpha": 6},
    }
    assert late["stages"][1]["reasons"][-1] == "Chosen: method.alpha=6, method.radius_coefficient=0.4."


def test_a_stage_begins_while_the_jobs_of_the_one_before_are_still_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that has executed its runs stays in the queue until its last step is done, and that step is the tick."""
    bench = Bench(tmp_path)
    submitted = bench.cluster.submitted
    monkeypatch.setattr(bench.cluster, "jobs", lambda: [Job(runs=runs, state="RUNNING") for runs in submitted])
    for _ in range(8):
        seen = bench.reconciler().tick()
        bench.cluster.work()
    assert seen[-1].stage.name == "final"
    assert seen[-1].complete


@pytest.mark.parametrize("study", [STUDY, StudySpec(name="tpe", stages=(SEARCH,))], ids=lambda study: study.name)
def test_restarts_before_every_tick_change_and_repeat_nothing(tmp_path: Path, study: StudySpec) -> None:
    whole, broken = Bench(tmp_path / "whole"), Bench(tmp_path / "broken")
    expected = [view.parameters for view in whole.drive(study)]
    assert [view.parameters for view in broken.drive(study, restart=True)] == expected
    assert broken.executed == whole.executed
    assert len(set(broken.executed)) == len(broken.executed)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("protocol.warmup_epochs", (None, 0.5)),
        ("protocol.optimizer", ("sgd", "adam")),
        ("protocol.augment_exclude", (["Rotate"], [])),
    ],
)
def test_a_study_under_way_whose_rule_speaks_of_no_number_can_be_finished(
    tmp_path: Path, key: str, values: tuple[object, ...]
) -> None:
    rule = ChoiceRule(prefer=(f"largest {key}",), of=key, keep=2)
    coarse = StageSpec(name="coarse", search="grid", base=BASE, space=(Axis(key=key, values=values),), choose=rule)
    fine = StageSpec(name="fine", search="grid", base=BASE, space=(Axis(key=key, chosen_in="coarse"),))
    seen = Bench(tmp_path).drive(StudySpec(name="mini", stages=(coarse, fine)))
    assert seen[-1].complete
    assert len(seen[-1].trials) == 2


def test_a_finished_study_trains_nothing_again_even_without_optuna(tmp_path: Path) -> None:
    Bench(tmp_path).drive()
    before = results(tmp_path)
    (tmp_path / "studies/mini/optuna.journal").unlink()
    bench = Bench(tmp_path)
    assert bench.drive()[-1].complete
    assert bench.executed == []
    assert results(tmp_path) == before


def test_a_run_that_another_study_finished_is_not_trained_again(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.drive(StudySpec(name="one", stages=(COARSE,)))
    wider = dataclasses.replace(COARSE, space=(Axis(key="method.alpha", values=(2, 4, 6, 10)),))
    second = Bench(tmp_path)
    second.drive(StudySpec(name="two", stages=(wider,)))
    assert second.executed == [signature_of(method__alpha=4)]


def test_a_changed_base_gets_trials_of_its_own_and_the_old_ones_are_kept(tmp_path: Path) -> None:
    study = StudySpec(name="mini", stages=(COARSE,))
    Bench(tmp_path).drive(study)
    longer = dataclasses.replace(COARSE, base={**BASE, "protocol.epochs": 3})
    bench = Bench(tmp_path)
    (view,) = bench.drive(StudySpec(name="mini", stages=(longer,)))
    assert len(bench.executed) == 3
    assert view.epochs == 3
    again = Bench(tmp_path)
    (back,) = again.drive(study)
    assert again.executed == []
    assert back.epochs == 2


def test_a_wider_grid_is_another_list_of_trials_and_runs_only_what_is_new(tmp_path: Path) -> None:
    Bench(tmp_path).drive(StudySpec(name="mini", stages=(COARSE,)))
    wider = dataclasses.replace(COARSE, space=(Axis(key="method.alpha", values=(1, 2, 6, 10)),))
    bench = Bench(tmp_path)
    (view,) = bench.drive(StudySpec(name="mini", stages=(wider,)))
    assert bench.executed == [signature_of(method__alpha=1)]
    assert [view.parameters[number]["method.alpha"] for number in range(4)] == [1, 2, 6, 10]


@pytest.mark.parametrize("accident", [fail, die])
def test_a_run_that_keeps_failing_is_given_up_and_the_stage_still_ends(
    tmp_path: Path, accident: Callable[[Path, str], None]
) -> None:
    bench = Bench(tmp_path, failures_allowed=2)
    bad = signature_of(method__alpha=10)
    bench.how = lambda signature: accident(tmp_path, signature) if signature == bad else finish(tmp_path, signature)
    (view,) = bench.drive(StudySpec(name="mini", stages=(COARSE,)))
    assert bench.executed.count(bad) == 1 + 2
    assert view.choice is not None
    assert view.choice.chosen == ({"method.alpha": 6}, {"method.alpha": 2})
    assert view.states[bad].status == ("failed" if accident is fail else "dead")


def test_a_run_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bad = signature_of(method__alpha=10)

    def once(signature: str) -> None:
        first = signature == bad and bench.executed.count(bad) == 1
        (fail if first else finish)(tmp_path, signature)

    bench.how = once
    (view,) = bench.drive(StudySpec(name="mini", stages=(COARSE,)))
    assert view.states[bad].status == "done"
    assert bench.executed.count(bad) == 2


def test_a_run_that_is_given_up_in_the_final_stage_does_not_hold_the_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failures_allowed=0)
    final = dataclasses.replace(FINAL, chosen_in=None, splits=(0,))
    bad = build_run(final.base, {"benchmark": "digits", "method": "cross_entropy", "split": 0, "seed": 0}).signature
    bench.how = lambda signature: (fail if signature == bad else finish)(tmp_path, signature)
    (view,) = bench.drive(StudySpec(name="mini", stages=(final,)))
    assert view.complete
    assert sorted(state.status for state in view.states.values()) == ["done", "failed"]


def test_a_diverged_run_is_done_and_never_chosen(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    best = signature_of(method__alpha=6)
    bench.how = lambda signature: finish(tmp_path, signature, diverged=signature == best)
    (view,) = bench.drive(StudySpec(name="mini", stages=(COARSE,)))
    assert bench.executed.count(best) == 1
    assert view.choice is not None
    assert {"method.alpha": 6} not in view.choice.chosen
    assert view.choice.reasons[0].startswith("2 of 3 configurations are eligible")


def test_a_stage_that_compares_chooses_nothing_and_ends_whatever_its_runs_reach(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.how = lambda signature: finish(tmp_path, signature, diverged=True)
    compares = dataclasses.replace(COARSE, choose=None)
    (view,) = bench.drive(StudySpec(name="mini", stages=(compares,)))
    assert view.complete
    assert view.choice is None
    described = ledger(tmp_path, "mini").description()
    assert described is not None
    assert (described["stages"][0]["chooses"], described["stages"][0]["chosen"]) == (False, [])


def test_where_nothing_can_be_chosen_the_study_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.how = lambda signature: finish(tmp_path, signature, diverged=True)
    with pytest.raises(Failure, match="stage coarse can choose nothing: 0 of 3 configurations are eligible"):
        bench.drive()


def test_a_sampler_proposes_one_by_one_into_free_slots(tmp_path: Path) -> None:
    bench = Bench(tmp_path, parallel=2)
    study = StudySpec(name="tpe", stages=(SEARCH,))
    reconciler = bench.reconciler(study)
    counts = []
    for _ in range(40):
        (view,) = reconciler.tick()
        counts.append(len(view.trials))
        assert sum(trial.state.status != "done" for trial in view.trials) <= 2
        if view.complete:
            break
        bench.cluster.work()
    assert view.complete
    assert counts[0] == 2
    assert max(counts) == 5
    assert len(bench.executed) == 5
    assert view.choice is not None
    best = min((abs(view.parameters[n]["method.alpha"] - 6), n) for n in range(5))[1]
    assert view.choice.chosen == (view.parameters[best],)


def test_a_tick_that_may_not_submit_starts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (view,) = bench.reconciler().tick(submit=False)
    assert bench.cluster.submitted == []
    assert {trial.state.status for trial in view.trials} == {"new"}
    assert not (tmp_path / "runs").exists()


def test_runs_are_on_disk_before_their_job_is_submitted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reconciler().tick()
    assert len(bench.cluster.submitted) == 2
    for (signature,) in bench.cluster.submitted:
        assert run_folder(tmp_path, signature).spec().signature == signature


def test_tasks_with_the_same_known_classes_are_trained_once_in_a_final_stage(tmp_path: Path) -> None:
    base = {"protocol": "short", "protocol.epochs": 2}
    names = ("cifar10", "cifar+10", "cifar+50")
    final = dataclasses.replace(FINAL, chosen_in=None, base=base, benchmarks=names, methods=("cac",), splits=(0, 1, 2))
    bench = Bench(tmp_path)
    (view,) = bench.drive(StudySpec(name="shared", stages=(final,)))
    # cifar10 has one set in splits 0 and 1; the six tasks of CIFAR+N share one training.
    assert (view.planned, view.runs, len(bench.executed)) == (9, 3, 3)
    assert view.complete
    described = ledger(tmp_path, "shared").description()
    assert described is not None
    tasks: dict[str, list[tuple[str, int]]] = {trial["signature"]: [] for trial in described["stages"][0]["trials"]}
    for trial in described["stages"][0]["trials"]:
        tasks[trial["signature"]].append((trial["parameters"]["benchmark"], trial["parameters"]["split"]))
    assert sorted(map(len, tasks.values())) == [1, 2, 6]


def test_a_trial_whose_line_in_the_ledger_is_damaged_is_entered_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reconciler().tick()
    (book,) = (tmp_path / "studies/mini").glob("coarse-*.jsonl")
    first, second, *rest = book.read_text().splitlines()
    book.write_text("\n".join([first, second[:-5], *rest]) + "\n")
    assert [len(view.trials) for view in bench.drive()][:1] == [3]
