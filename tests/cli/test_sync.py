"""`difair sync`: Optuna lost and found again, in a journal and in a database, and what it leaves alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from difair_hpc.cli import main
from difair_hpc.cli.clusters import Request, keep_request
from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.lease import Wishes, lease
from difair_hpc.sweep.plan import Limits
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.reconcile import Reconciler
from difair_hpc.sweep.spec import Axis, StageSpec, StudySpec
from tests.cli.made import files
from tests.stores import Store
from tests.sweep.made import fail, finish

BASE = {"benchmark": "digits", "method": "difair", "protocol": "short", "protocol.epochs": 2}
COARSE = StageSpec(name="coarse", search="grid", base=BASE, space=(Axis(key="method.alpha", values=(2, 6, 10)),))
SEARCH = StageSpec(
    name="search",
    search="optuna",
    trials=6,
    base=BASE,
    objectives=("closed_set_accuracy", "occupancy"),
    space=(
        Axis(key="method.alpha", chosen_in="coarse"),
        Axis(key="method.radius_coefficient", low=0.2, high=0.49),
        Axis(key="method.features_per_class", low=1, high=9, log=True, whole=True),
    ),
)
FINAL = StageSpec(name="final", search="final", base=BASE, benchmarks=("digits",), methods=("cac",), splits=(0,))
STUDY = StudySpec(name="mini", stages=(COARSE, SEARCH, FINAL))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFAIR_ROOT", str(tmp_path))
    monkeypatch.setenv("DIFAIR_STORAGE", store.url)


def drive(root: Path, store: Store, *, ticks: int = 50) -> None:
    """Drive the study, or its first ticks; of the coarse stage alpha 2 diverges, and alpha 10 is given up."""

    def execute(signature: str) -> None:
        method = run_folder(root, signature).spec().to_dict()["method"]
        if method["name"] == "difair" and method["alpha"] == 10:
            fail(root, signature)
        else:
            finish(root, signature, diverged=method["alpha"] == 2)

    cluster, limits = MemoryCluster(execute), Limits(parallel=3, budgets={"failed": 0})
    reconciler = Reconciler(STUDY, root=root, build=build_run, cluster=cluster, limits=limits, storage=store.url)
    for _ in range(ticks):
        views = reconciler.tick()
        if len(views) == 3 and views[-1].complete:
            return
        cluster.work()
    assert ticks < 50, "the study never ended"


def seen(store: Store) -> dict[str, Sequence[Any]]:
    """Return all that is in Optuna, but for the moments at which it was told."""
    return {
        name: [
            (trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs)
            for trial in store.trials(name)
        ]
        for name in store.names()
    }


def synced(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["sync", "tracking_uri=none", *words]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def where(root: Path, store: Store) -> str:
    return store.url or str(root / "studies")


def test_a_finished_study_comes_back_whole(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    drive(tmp_path, store)
    before = seen(store)
    states = [[state for _, state, *_ in trials] for trials in before.values()]
    assert sorted(map(len, states)) == [3, 6]
    assert min(states, key=len) == [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL]
    for _ in range(2):
        store.lose()
        assert synced(capsys) == f"Optuna: 2 studies, 9 trials in {where(tmp_path, store)}\n"
        assert seen(store) == before
    assert synced(capsys) == f"Optuna: 2 studies, 9 trials in {where(tmp_path, store)}\n"
    assert seen(store) == before
    drive(tmp_path, store, ticks=1)
    assert seen(store) == before, "the study goes on from it and finds nothing to do"


def test_a_run_that_may_be_tried_again_stays_running(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    drive(tmp_path, store, ticks=1)
    store.lose()
    synced(capsys)
    ((_, trials),) = seen(store).items()
    assert [state for _, state, *_ in trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    drive(tmp_path, store)
    assert len(seen(store)) == 2


def test_a_run_that_was_given_up_has_failed_although_its_stage_goes_on(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    drive(tmp_path, store, ticks=1)
    profile = Profile(name="local", retries={"failed": 0})
    keep_request(tmp_path, "mini", Request(name="mini", words=(), folder=str(tmp_path), profile=profile))
    store.lose()
    synced(capsys, "--rebuild")
    ((_, trials),) = seen(store).items()
    assert [state for _, state, *_ in trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL]
    place = store.url or f"{tmp_path}/studies/mini/optuna.journal"
    assert f"Optuna's storage {place} holds study mini already" in synced(capsys, "--rebuild", code=2)


def test_a_study_at_work_is_left_alone(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    drive(tmp_path, store)
    store.lose()
    with lease(tmp_path / "studies/mini"):
        before = files(tmp_path / "studies")
        out = synced(capsys)
        assert {path for path in before if "attempts" not in path.parts} == {
            path for path in files(tmp_path / "studies") if "attempts" not in path.parts
        }
    assert out == (
        "Optuna: study mini is left to the command that drives it at this moment\n"
        f"Optuna: 0 studies, 0 trials in {where(tmp_path, store)}\n"
    )


ONE = """
stages:
  coarse:
    search: grid
    base: {benchmark: digits, method: difair, protocol: short, protocol.epochs: 2}
    space: {method.alpha: [6]}
"""


def test_a_tick_that_was_asked_for_meanwhile_is_made_up_for(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/one.yaml").write_text(ONE)
    spec = build_run(BASE, {"method.alpha": 6})
    run_folder(tmp_path, spec.signature).create(spec)
    finish(tmp_path, spec.signature)
    assert main(["sweep", "one", "tracking_uri=none"]) == 0
    wishes = Wishes(tmp_path / "studies/one")
    wishes.wish()  # a job that ended while the study was held
    out = synced(capsys)
    assert "study one: runs in " in out
    assert not wishes.stands()


def test_a_study_of_an_earlier_version_is_named(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    drive(tmp_path, store)
    path = tmp_path / "studies/mini/study.json"
    content = json.loads(path.read_text())
    for stage in content["stages"]:
        for key in ("book", "axes", "objectives", "sampler"):
            stage.pop(key, None)
    path.write_text(json.dumps(content))
    assert "Optuna: study mini was written by an earlier version" in synced(capsys)
    assert main(["status", "mini", "-f", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 10
    assert main(["report", "mini", "-f", "json"]) == 0
    drive(tmp_path, store, ticks=1)
    store.lose()
    assert synced(capsys) == f"Optuna: 2 studies, 9 trials in {where(tmp_path, store)}\n"


def test_a_root_without_searches(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = files(tmp_path)
    assert synced(capsys) == f"Optuna: 0 studies, 0 trials in {where(tmp_path, store)}\n"
    assert files(tmp_path) == before


def test_a_database_that_nobody_serves_is_one_message_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = "storage=postgresql://127.0.0.1:1/optuna"
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "digits", "tracking_uri=none", storage]) == 1
    err = capsys.readouterr().err
    assert err.startswith("difair: Optuna's storage postgresql://127.0.0.1:1/optuna cannot be used: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
    drive(tmp_path, Store(place=tmp_path / "studies/mini/optuna.journal"))
    assert synced(capsys, storage, code=1).count("cannot be used") == 1
