"""What two studies must share: each fact has a name, and a change of any of it shows as a difference."""

import json
from pathlib import Path

from mlflow.tracking import MlflowClient

from difair_hpc.drill.facts import folder_facts, point_facts, trial_facts
from difair_hpc.drill.outcome import differences
from difair_hpc.runs import spool
from difair_hpc.sweep.spec import StudySpec
from tests.marks import USES_MLFLOW
from tests.sweep.studies import SEARCH, Bench

pytestmark = [  # MLflow's own
    *USES_MLFLOW,
]


def study(root: Path) -> Path:
    """Make a study of five runs in the folder, each with a model and two epochs, and return the folder."""
    bench = Bench(root)
    bench.drive(StudySpec(name="mini", stages=(SEARCH,)))
    for folder in (root / "runs").iterdir():
        (folder / "model.pt").write_bytes(folder.name.encode())
        points = [{"epoch": epoch, "time": 1.0, "metrics": {"train_loss": 1 / epoch}} for epoch in (1, 2)]
        spool.append(folder, points, attempt=1)
    return root


def test_two_executions_share_every_fact(tmp_path: Path) -> None:
    one, other = study(tmp_path / "one"), study(tmp_path / "other")
    assert len(folder_facts(one, "mini")) > 5 * 7
    assert differences(folder_facts(one, "mini"), folder_facts(other, "mini")) == []
    assert len(trial_facts(one, "mini", "")) == 5
    assert differences(trial_facts(one, "mini", ""), trial_facts(other, "mini", "")) == []


def test_a_changed_model_a_lost_epoch_and_another_evaluation_are_named(tmp_path: Path) -> None:
    root = study(tmp_path)
    before = folder_facts(root, "mini")
    folder = min((root / "runs").iterdir())
    (folder / "model.pt").write_bytes(b"other weights")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(lines[0])
    result = json.loads((folder / "result.json").read_text())
    result["evaluation"]["occupancy"] = 0.5
    (folder / "result.json").write_text(json.dumps(result))
    found = differences(before, folder_facts(root, "mini"))
    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == ["epoch 000002", "evaluation", "model.pt"]
    assert found[0].endswith('{"train_loss": 0.5} undisturbed, nothing in the drill')


def test_a_point_that_mlflow_has_twice_shows_both_values(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("mini")
    tags = {"difair.stage": "coarse", "difair.signature": "ab", "mlflow.runName": "alpha=2"}
    run = client.create_run(experiment, tags=tags).info.run_id
    client.log_metric(run, "train_loss", 0.5, timestamp=1, step=1)
    client.log_metric(run, "train_loss", 0.5, timestamp=2, step=1)
    client.log_metric(run, "seconds", 12.0, timestamp=2, step=1)
    client.set_terminated(run)
    assert point_facts(uri, "mini") == {
        "MLflow coarse/ab: status": "FINISHED",
        "MLflow coarse/ab: train_loss, epoch 000001": "0.5 and 0.5",
    }
    assert point_facts(uri, "another study") == {}
