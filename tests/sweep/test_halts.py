"""What stops a study, holds runs back or leaves nodes out, and how it goes on afterwards."""

import dataclasses
import json
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from difair_hpc.config import build_run
from difair_hpc.errors import LimitReached, RunBusy
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.jobs import Order
from difair_hpc.sweep.reconcile import Reconciler
from difair_hpc.sweep.spec import Axis, StudySpec
from tests.sweep.made import fail, finish
from tests.sweep.studies import BASE, COARSE, SEARCH, STUDY, Bench, signature_of


def test_three_jobs_that_never_begin_halt_the_study_with_their_last_words(tmp_path: Path) -> None:
    class Talking(MemoryCluster):
        def last_words(self, signature: str) -> str:
            return f"sbatch: no such partition for {signature}"

    bench = Bench(tmp_path)
    bench.cluster = Talking(lambda _: None)
    study = StudySpec(name="mini", stages=(COARSE,))
    for _ in range(3):
        (view,) = bench.reconciler(study).tick()  # a new process each time: nothing may be forgotten
        assert (view.halted, view.waits) == ("", False)
        bench.cluster.work()
    (view,) = bench.reconciler(study).tick()
    first = signature_of(method__alpha=2)
    assert view.halted == (f"3 jobs of run {first} ended before the run began:\nsbatch: no such partition for {first}")
    assert view.waits
    assert bench.cluster.submitted.count((first,)) == 3

    write_mark(run_folder(tmp_path, first).path, Mark())  # difair resume
    write_mark(run_folder(tmp_path, signature_of(method__alpha=6)).path, Mark())
    (view,) = bench.reconciler(study).tick()
    assert view.halted == ""
    assert bench.cluster.submitted.count((first,)) == 4


def test_runs_that_fail_with_one_traceback_halt_the_study_until_they_are_forgiven(tmp_path: Path) -> None:
    bench = Bench(tmp_path, parallel=3, failures_allowed=9)
    trace = 'File "/x/run.py", line 7, in load\nKeyError: {}'
    bench.how = lambda signature: fail(tmp_path, signature, f"KeyError: {signature}", trace.format(signature))
    study = StudySpec(name="mini", stages=(COARSE,))
    bench.reconciler(study).tick()
    bench.cluster.work()
    (view,) = bench.reconciler(study).tick()
    assert view.halted == "3 runs failed alike: KeyError at run.py:7"
    assert len(bench.executed) == 3
    for signature in set(bench.executed):
        write_mark(run_folder(tmp_path, signature).path, Mark(forgiven=1))
    bench.how = lambda signature: finish(tmp_path, signature)
    assert bench.drive(study)[0].complete


def test_a_held_run_is_waited_for_and_a_cancelled_one_is_done_without(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    study = StudySpec(name="mini", stages=(COARSE,))
    held, cancelled = signature_of(method__alpha=6), signature_of(method__alpha=10)
    for signature, mark in ((held, Mark(hold="held")), (cancelled, Mark(hold="cancelled"))):
        folder = run_folder(tmp_path, signature)
        folder.create(build_run(BASE, {"method.alpha": 6 if signature == held else 10}))
        write_mark(folder.path, mark)
    bench.reconciler(study).tick()
    bench.cluster.work()
    (view,) = bench.reconciler(study).tick()
    assert (view.waits, view.complete) == (True, False)
    assert bench.executed == [signature_of(method__alpha=2)]
    write_mark(run_folder(tmp_path, held).path, Mark())
    (view,) = bench.drive(study)
    assert view.complete
    assert cancelled not in bench.executed


def test_a_job_that_somebody_cancelled_before_its_run_began_holds_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.cluster = MemoryCluster(lambda _: None)
    study = StudySpec(
        name="mini", stages=(dataclasses.replace(COARSE, space=(Axis(key="method.alpha", values=(2,)),)),)
    )
    bench.reconciler(study).tick()
    bench.cluster.work(state="CANCELLED")
    (view,) = bench.reconciler(study).tick()
    assert next(iter(view.states.values())).hold == "held"
    assert view.waits
    assert read_mark(run_folder(tmp_path, signature_of(method__alpha=2)).path).by == "scancel"
    assert len(bench.cluster.submitted) == 1


def test_a_node_on_which_two_runs_never_begin_is_left_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.cluster = MemoryCluster(lambda _: None)
    study = StudySpec(name="mini", stages=(COARSE,))
    bench.reconciler(study).tick()
    bench.cluster.work(state="FAILED", node="v100-1")
    bench.reconciler(study).tick()
    assert bench.cluster.excluded == [[], ["v100-1"]]
    assert "2 runs failed on it" in json.loads((tmp_path / "studies/mini/nodes.json").read_text())["v100-1"]["why"]


def test_a_process_that_lost_the_lease_submits_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    reconciler = Reconciler(
        STUDY,
        root=tmp_path,
        build=build_run,
        cluster=bench.cluster,
        limits=bench.limits,
        counts=lambda: False,
    )
    with pytest.raises(RunBusy, match="study mini was taken over by another process"):
        reconciler.tick()
    assert bench.cluster.submitted == []


def test_a_study_that_is_held_or_cancelled_submits_and_proposes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    study = StudySpec(name="tpe", stages=(SEARCH,))
    bench.reconciler(study).tick()
    place = tmp_path / "studies/tpe"
    write_mark(place, Mark(hold="cancelled", by="difair cancel"))
    bench.cluster.work()
    (view,) = bench.reconciler(study).tick()
    trials = len(view.trials)
    (view,) = bench.reconciler(study).tick()
    assert len(view.trials) == trials
    assert bench.cluster.jobs() == []
    assert (view.halted, view.complete, view.waits) == ("it was cancelled by difair cancel", False, True)
    write_mark(place, Mark())
    assert bench.drive(study)[0].complete


def test_a_limit_on_jobs_does_not_hide_where_the_study_stands(tmp_path: Path) -> None:
    class Full(MemoryCluster):
        def submit(self, orders: Sequence[Order], *, exclude: Collection[str] = ()) -> None:
            raise LimitReached("the site lets you have 2 jobs, and you have them.")

    bench = Bench(tmp_path)
    bench.cluster = Full(lambda _: None)
    reconciler = bench.reconciler(StudySpec(name="mini", stages=(COARSE,)))
    (view,) = reconciler.tick()
    assert (len(view.trials), view.submitted, view.waits) == (3, 0, False)
    assert reconciler.pressure == "the site lets you have 2 jobs, and you have them."
    assert (tmp_path / "studies/mini/study.json").exists(), "difair status reads it"
