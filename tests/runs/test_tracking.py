"""MLflow shows what the run folders say: each point once, no state that is not so, and nothing that may be undone."""

import json
import sqlite3
import warnings
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

from difair_hpc.errors import Failure, RunFailed
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import flat
from difair_hpc.runs.store import FINAL
from difair_hpc.train.trainer import TrainState
from tests.marks import USES_MLFLOW
from tests.runs.made import STEPS, created, execution, spec, stop_after
from tests.runs.shown import client, history, put_dead, put_points, ship, shown, the_run, tracker
from tests.train.tiny import tiny_data
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    *USES_MLFLOW,
]


@pytest.fixture
def root(migrated: Path) -> Path:
    return migrated.parent


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difair_hpc.runs.run.load", lambda *_: tiny_data())


def test_study_stage_and_run_are_parents_and_children(root: Path) -> None:
    place = created(root)
    put_points(place, [1])
    put_dead(place)
    ship(root, place)
    (study,), (stage,), run = shown(root, "study"), shown(root, "stage"), the_run(root)
    assert [r.data.tags.get("mlflow.parentRunId") for r in (study, stage, run)] == [
        None,
        study.info.run_id,
        stage.info.run_id,
    ]
    assert [r.info.run_name for r in (study, stage, run)] == ["digits", "coarse", "alpha 10"]
    assert run.data.tags["difair.signature"] == place.signature
    assert run.data.params == {key: str(value) for key, value in flat(spec().to_dict()).items()}
    assert run.info.start_time == 1000
    told = {name: run.data.tags[name] for name in ("method", "benchmark", "split", "seed")}
    assert told == {"method": "difair", "benchmark": "digits", "split": "0", "seed": "0"}


def test_a_run_that_never_began_is_not_shown(root: Path) -> None:
    place = created(root)
    by = ship(root, place)
    by.settle(live=True)
    assert [run.info.run_name for run in shown(root, "study")] == ["digits"]
    assert shown(root) == []


def test_points_arrive_once_however_often_they_are_shipped(root: Path) -> None:
    place = created(root)
    put_dead(place)
    put_points(place, [1, 2])
    first = ship(root, place, times=2)
    ship(root, place, times=2)
    put_points(place, [3])
    ship(root, place)
    ship(root, place, by=first)
    expected = [(1, 1.0, 1001500), (2, 0.5, 1002500), (3, pytest.approx(1 / 3), 1003500)]
    assert history(root, "train_loss") == expected


def test_hundreds_of_epochs_arrive_whole(root: Path) -> None:
    place = created(root)
    put_dead(place)
    put_points(place, range(1, 601), occupancy=0.5)
    ship(root, place)
    assert [epoch for epoch, _, _ in history(root, "train_loss")] == list(range(1, 601))
    assert len(history(root, "occupancy")) == 600


def test_a_class_name_that_mlflow_refuses_is_shown_without_the_odd_letters(root: Path) -> None:
    place = created(root)
    put_dead(place)
    put_points(place, [1], **{"weight_spread.potter's wheel": 0.25, "train_loss": float("nan")})
    ship(root, place)
    assert history(root, "weight_spread.potter_s wheel") == [(1, 0.25, 1001500)]
    assert np.isnan(the_run(root).data.metrics["train_loss"])


def test_the_status_follows_the_folder_in_one_mlflow_run(root: Path) -> None:
    place = created(root)
    put_points(place, [1])
    put_dead(place)
    by = ship(root, place)
    assert the_run(root).info.status == "FAILED"  # killed without a word: never RUNNING, never FINISHED
    identity = the_run(root).info.run_id
    with Attempt(place.path, {}) as attempt:
        ship(root, place, by=by)
        assert the_run(root).info.status == "RUNNING"
        attempt.end("stopped")
    ship(root, place)
    assert the_run(root).info.status == "KILLED"
    Attempt(place.path, {}).end("failed", message="boom")
    ship(root, place, by=by)
    assert the_run(root).info.status == "FAILED"
    assert execute(place, execution(), Events()) == "completed"
    ship(root, place, by=by)
    assert the_run(root).info.status == "FINISHED"
    assert the_run(root).info.run_id == identity


def test_what_no_checkpoint_covers_never_appears(root: Path) -> None:
    place = created(root, spec(epochs=5))
    by = tracker(root)

    def crash(state: TrainState) -> None:
        if state.epoch == 3 and place.state().attempts == 1:
            raise OSError("the node is gone")

    with pytest.raises(RunFailed, match="the node is gone"):
        execute(place, execution(checkpoint_epochs=2), Events(on_epoch=crash))
    ship(root, place, by=by)
    assert [epoch for epoch, _, _ in history(root, "train_loss")] == [1, 2]
    assert the_run(root).info.status == "FAILED"
    execute(place, execution(checkpoint_epochs=2), Events(on_epoch=crash))
    ship(root, place, by=by)
    assert [epoch for epoch, _, _ in history(root, "train_loss")] == [1, 2, 3, 4, 5]
    assert the_run(root).info.status == "FINISHED"


def test_epochs_before_their_checkpoint_are_not_shown(root: Path) -> None:
    place = created(root)
    seen: list[list[int]] = []
    by = tracker(root)

    def look(state: TrainState) -> None:
        if state.epoch > 1:
            assert eventually(lambda: state.epoch in place.points())
        ship(root, place, by=by)
        seen.append([epoch for epoch, _, _ in history(root, "train_loss")])

    execute(place, execution(checkpoint_epochs=2), Events(on_epoch=look))
    assert seen == [[], [1, 2], [1, 2, 3]]


def test_a_finished_run_has_its_files_and_a_model_that_loads(root: Path) -> None:
    place = created(root)
    assert execute(place, execution(), Events(should_stop=stop_after(STEPS + 1))) == "stopped"
    ship(root, place)
    assert execute(place, execution(), Events()) == "completed"
    ship(root, place)
    ship(root, place)
    run, result = the_run(root), place.result()
    assert result is not None
    assert run.info.status == "FINISHED"
    for name, value in flat(result["evaluation"]).items():
        own = name.partition(".")[2] in ("", "distance", "mos")
        shown = name != "held_out" and (own or name.startswith("auroc."))
        assert run.data.metrics.get(name) == (value if shown else None), name
    assert run.data.metrics["seconds"] == result["seconds"]
    # What the last epoch's point says is not said again; what only the result holds stands at the last epoch, once.
    assert [epoch for epoch, _, _ in history(root, "closed_set_accuracy")] == [1, 2, 3]
    assert [epoch for epoch, _, _ in history(root, "oscr.distance")] == [3]
    assert not [name for name in run.data.metrics if name.startswith("final.")]
    assert [epoch for epoch, _, _ in history(root, "train_loss")] == [1, 2, 3]
    assert run.data.tags["difair.attempts"] == "2"
    files = Path(client(root).download_artifacts(run.info.run_id, "", str(root)))
    assert json.loads((files / "result.json").read_text()) == result
    assert json.loads((files / "spec.json").read_text())["spec"] == spec().to_dict()
    assert (files / "figures" / "training.png").read_bytes() == b"picture"
    check_model(files / "model", place)


def check_model(path: Path, place: RunFolder) -> None:
    """Compare what the logged model says of three images with what the network of the run folder says."""
    import mlflow.pytorch
    from mlflow.models import Model

    from difair_hpc.runs.model import load_model

    signature = Model.load(str(path)).signature
    assert [part.shape for part in signature.inputs.inputs] == [(-1, 1, 8, 8)]
    pixels = tiny_data().known.images_BCHW[:3].float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = mlflow.pytorch.load_model(str(path))
    with torch.no_grad():
        expected = load_model(place)[0](pixels)
        torch.testing.assert_close(loaded(pixels), expected)
    assert expected.shape == (3, 30)


def test_a_run_is_not_final_before_all_of_it_arrived(root: Path) -> None:
    place = created(root)
    execute(place, execution(), Events())

    def gone(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ship(root, place, by=tracker(root, gone))
    assert FINAL not in the_run(root).data.tags
    ship(root, place)
    run = the_run(root)
    assert (run.info.status, run.data.tags[FINAL]) == ("FINISHED", "true")
    assert [file.path for file in client(root).list_artifacts(run.info.run_id, "figures")] == ["figures/training.png"]
    assert len(history(root, "oscr.mos")) == 1


def test_a_run_that_was_done_before_it_is_shipped_begins_when_it_began(root: Path) -> None:
    place = created(root)
    execute(place, execution(), Events())
    for kept in (ship(root, place)._open, ship(root, place)._open):  # the second finds it done
        assert kept is not None
        assert {key[0] for key in kept.runs} == {"study", "stage"}, "what is done fills no memory"
    run, first = the_run(root), json.loads((place.path / "attempts" / "0001.json").read_text())
    assert run.info.start_time == int(first["started"] * 1000)
    assert run.info.end_time > run.info.start_time


def test_a_store_that_fails_is_named(root: Path) -> None:
    place = created(root)
    put_dead(place)
    by = ship(root, place)
    put_points(place, [1])
    with sqlite3.connect(root / "mlflow.db") as connection:
        connection.execute("drop table metrics")
    with pytest.raises(Failure, match=r"the MLflow store sqlite:.*mlflow.db cannot be used"):
        ship(root, place, by=by)
    (root / "other").mkdir()
    (root / "other" / "mlflow.db").write_text("this is no database, but a text that is long enough to be read as one")
    with pytest.raises(Failure, match="cannot be used"):
        tracker(root / "other").settle(live=True)


def test_a_note_of_a_report_that_is_damaged_counts_as_none(root: Path) -> None:
    by, note = tracker(root), root / "studies/digits/shown.json"
    by.settle(live=True)
    note.parent.mkdir(parents=True)
    for text in ("[]", '{"time": 1}', "{"):
        note.write_text(text)
        by.finish_study()
