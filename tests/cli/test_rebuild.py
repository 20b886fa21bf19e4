"""`difair sync --rebuild`: MLflow and Optuna lost after a study, and made again from run folders to the last point."""

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.cli import main
from difair_hpc.files import read_json
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import set_kind
from difair_hpc.runs.shown import VIEW
from difair_hpc.runs.spec import SCHEMA
from tests import short
from tests.cli.made import command, created
from tests.marks import USES_MLFLOW
from tests.runs.made import put_attempt
from tests.stores import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    *USES_MLFLOW,
]

MINI = short.study(2, methods="[difair]")
PARENT = "mlflow.parentRunId"


def shown(root: Path) -> dict[str, Any]:
    """Return all that MLflow's store under a root says, by names that do not differ from store to store."""
    connection = sqlite3.connect(root / "mlflow.db")
    try:
        tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for run, key, value in connection.execute("select run_uuid, key, value from tags"):
            tags[run][key] = value
        names = {run: "/".join((own["difair.kind"], own["mlflow.runName"])) for run, own in tags.items()}
        content: dict[str, Any] = {name: {"metrics": [], "params": {}} for name in names.values()}
        for run, state, start, end in connection.execute("select run_uuid, status, start_time, end_time from runs"):
            moments = [start, end] if names[run].startswith("run/") else []
            above = {PARENT: names[tags[run][PARENT]]} if PARENT in tags[run] else {}
            content[names[run]] |= {"status": state, "moments": moments, "tags": tags[run] | above}
        for run, *row in connection.execute(
            "select run_uuid, key, step, timestamp, value, is_nan from metrics order by 1, 2, 3, 4"
        ):
            content[names[run]]["metrics"].append(row)
        for run, key, value in connection.execute("select run_uuid, key, value from params"):
            content[names[run]]["params"][key] = value
        for run, place in connection.execute("select run_uuid, artifact_uri from runs"):
            folder = Path(place.removeprefix("file://"))
            content[names[run]]["files"] = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        for name, key, value in connection.execute(
            "select name, key, value from experiments join experiment_tags using (experiment_id)"
        ):
            content[f"experiment/{name} {key}"] = None if key == VIEW else value  # which holds the moment it was made
        return content
    finally:
        connection.close()


def searched(root: Path) -> dict[str, list[Any]]:
    store = Store(place=root / "studies/mini/optuna.journal")
    return {
        name: [
            (trial.number, trial.state, trial.values, trial.params, trial.user_attrs) for trial in store.trials(name)
        ]
        for name in store.names()
    }


def rebuilt(folder: Path, *, code: int) -> str:
    """Rebuild in a process of its own, since MLflow keeps files open, and return its complaint."""
    done = command("sync", "--rebuild", "root=o", cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def test_both_are_made_again_to_the_last_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "o"
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/mini.yaml").write_text(MINI)
    done = command("sweep", "mini", "root=o", "cluster.parallel=1", "cluster.threads=1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    live = shown(root)
    assert live["study/mini"]["status"] == "FINISHED"
    assert "report/report.html" in live["study/mini"]["files"]
    for seed, kind in enumerate(("preempted", "out_of_memory"), start=7):  # two that were never finished, of no study
        place = created(root, seed=seed)
        put_attempt(place.path, 1, started=100.5)
        spool.append(place.path, [{"epoch": 1, "time": 101.5, "metrics": {"a": float("nan")}}], attempt=1)
        set_kind(place.path, 1, kind, "its log")
    assert main(["sync", "root=o"]) == 0
    before = shown(root)
    assert {name: content for name, content in before.items() if name in live} == live, "sync finds nothing to do"
    singles = [content["status"] for name, content in before.items() if name.startswith("run/") and name not in live]
    assert sorted(singles) == ["FAILED", "KILLED"]
    trials = searched(root)

    refused = rebuilt(tmp_path, code=2)
    assert f"the MLflow store sqlite:///{root}/mlflow.db holds study mini already" in refused
    (root / "mlflow.db").rename(tmp_path / "old.db")
    (root / "mlartifacts").rename(tmp_path / "old")
    refused = rebuilt(tmp_path, code=2)
    assert f"Optuna's storage {root}/studies/mini/optuna.journal holds study mini already" in refused
    (root / "studies/mini/optuna.journal").unlink()
    rebuilt(tmp_path, code=0)
    assert shown(root) == before
    assert searched(root) == trials
    report = read_json(root / "studies/mini/shown.json")
    assert isinstance(report, dict)
    assert before["experiment/mini mlflow.note.content"] == report["note"][:8000]


def test_a_run_that_nobody_can_read_is_named_and_the_others_arrive(tmp_path: Path) -> None:
    root = tmp_path / "o"
    sound, torn, newer = (created(root, seed=seed) for seed in (7, 8, 9))
    for place in (sound, torn, newer):
        put_attempt(place.path, 1, started=100.5)
    (torn.path / "spec.json").write_bytes(b"\xff")
    (newer.path / "result.json").write_text('{"schema": 99}')
    done = command("sync", "root=o", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    shipped, optuna, *left_out = done.stdout.splitlines()
    assert shipped == "1 run is up to date in MLflow"
    assert optuna.startswith("Optuna: 0 studies")
    assert {line.partition(";")[0] for line in left_out} == {
        f"left out: {torn.path}/spec.json is damaged",
        f"left out: {newer.path}/result.json has schema 99, this version reads up to {SCHEMA}",
    }
    assert [name for name in shown(root) if name.startswith("run/")] == [f"run/{sound.signature}"]
