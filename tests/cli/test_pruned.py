"""`difair sweep` with `prune: restarts` on real runs: stopped in time, shown, and brought back."""

import json
from pathlib import Path

import mlflow
import pytest

from difair_hpc.cli import main
from difair_hpc.config import build_run
from difair_hpc.runs.attempts import views
from difair_hpc.runs.folder import RunFolder, run_folder
from tests.cli.made import command

BASE = {
    "benchmark": "digits",
    "benchmark.train_per_class": 24,
    "method": "difair",
    "method.allow_overlap": True,
    "protocol": "short",
    "protocol.epochs": 18,
    "protocol.evaluate_every": 3,
    "protocol.batch_size": 36,
}
SWEEP = f"""
study: halved
stages:
  coarse:
    search: grid
    prune: restarts
    base: {json.dumps(BASE)}
    space: {{method.radius_coefficient: [0.4, 1.5]}}
    choose: {{tolerance: 0.05}}
"""
# Four steps and nearly a second per epoch: time enough to leave between the sixth, which is judged, and the last.
WORDS = [
    "root=o",
    "cluster.parallel=1",
    "cluster.threads=1",
    "cluster.checkpoint_epochs=1",
    "cluster.pause_seconds=0.2",
]


def run(root: Path, coefficient: float) -> RunFolder:
    return run_folder(root, build_run(BASE, {"method.radius_coefficient": coefficient}).signature)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/halved.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:::mlflow")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_pruned_run_leaves_early_and_can_be_brought_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Without MLflow the command looks twice a second; shipping a finished run may take longer than a cycle here.
    swept = command("sweep", "halved", *WORDS, "tracking_uri=none", cwd=here)
    assert (swept.returncode, swept.stderr) == (0, "")
    good, bad = (run(here / "o", coefficient) for coefficient in (0.4, 1.5))
    assert "was needed among the 2 runs that had come so far" in swept.stdout
    assert good.state().status == "done"
    state, (attempt,) = bad.state(), views(bad.path)
    assert (state.status, state.hold, (attempt.end or {})["signal"]) == ("stopped", "pruned", "pruned")
    assert 6 <= state.epoch < 18

    assert main(["status", "root=o"]) == 0
    shown = capsys.readouterr().out
    assert f"halved / coarse: 1 of 2 done, 1 pruned, {18 + state.epoch} of 36 epochs" in shown
    assert main(["why", bad.signature, "root=o"]) == 0
    assert "pruned by stage coarse of study halved (closed_set_accuracy 0." in capsys.readouterr().out
    report = (here / "o/studies/halved/report/report.md").read_text()
    assert "| coarse | 2 | 1 | 0 | 1 | 0 |" in report
    assert f"| coarse | 2 | 2 | {18 + state.epoch} of 36 |" in report
    assert command("sync", "root=o", cwd=here).returncode == 0
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{here / 'o/mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'halved'")
    (tracked,) = client.search_runs([experiment.experiment_id], f"tags.`difair.signature` = '{bad.signature}'")
    assert tracked.info.status == "KILLED"
    assert tracked.data.tags["difair.pruned"].startswith("closed_set_accuracy 0.")

    assert main(["resume", "halved", "-n", "root=o"]) == 0
    assert "0 runs would go on" in capsys.readouterr().out, "a study as a whole brings nothing back"
    resumed = command("resume", bad.signature, "root=o", cwd=here)  # tracking_uri=none as before
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert sorted(bad.points()) == list(range(1, 19))
    assert [(view.end or {})["reason"] for view in views(bad.path)] == ["stopped", "finished"]
    assert "| coarse | 2 | 2 | 0 | 0 |" in (here / "o/studies/halved/report/report.md").read_text()
    assert command("sync", "root=o", cwd=here).returncode == 0
    (tracked,) = client.search_runs([experiment.experiment_id], f"tags.`difair.signature` = '{bad.signature}'")
    assert (tracked.info.status, tracked.data.tags["difair.pruned"]) == ("FINISHED", "")


def test_a_dry_run_says_what_pruning_will_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "halved", "-n", "root=o"]) == 0
    shown = capsys.readouterr().out
    assert "stage coarse (grid): 2 runs of at most 18 epochs" in shown
    assert (
        "  prune: restarts: after epoch 6 and 12 runs in the worse half of those that have come so far are stopped, "
        "unless their closed_set_accuracy is within 0.05 of the best" in shown
    )
    assert main(["sweep", "halved", "-n", "root=o", "protocol.evaluate_every=4"]) == 2
    assert "protocol.evaluate_every=4 (every 4 epochs) is not possible" in capsys.readouterr().err
    assert main(["sweep", "halved", "-n", "root=o", "stages.coarse.prune=null", "protocol.evaluate_every=4"]) == 0
    assert main(["sweep", "halved", "-n", "root=o", "stages.coarse.prune=worst"]) == 2
    assert "stages.coarse.prune=worst is not possible: allowed is one of restarts" in capsys.readouterr().err
