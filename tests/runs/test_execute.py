"""Executing a run: once, to the end, by one process, and with a word on record when it fails."""

import json
import math
import os
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.errors import DataMissing, InvalidValue, NewerSchema, RunBusy, RunFailed
from difair_hpc.runs.attempts import Attempt, view
from difair_hpc.runs.job import run_job
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.runs.place import Place
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import SCHEMA, plain
from difair_hpc.runs.stop import TIME, StopWatch
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import TrainState
from tests.runs.made import STEPS, created, execution, outcome, put_attempt, snapshot, spec, spooled_epochs
from tests.runs.run_to import executed, interrupted, resulting, spoil, uninterrupted
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.usefixtures("tiny")


def test_a_run_leaves_its_result(tmp_path: Path, tiny: OpenSetData) -> None:
    place = executed(tmp_path)
    result = resulting(place)
    assert place.state().status == "done"
    assert {key: result[key] for key in ("schema", "signature", "outcome", "epochs", "attempts", "warnings")} == {
        "schema": SCHEMA,
        "signature": place.signature,
        "outcome": "completed",
        "epochs": 3,
        "attempts": 1,
        "warnings": [],
    }
    assert result["spec"] == spec().to_dict()
    evaluation = result["evaluation"]
    assert 0 <= evaluation["closed_set_accuracy"] <= 1
    assert 0 <= evaluation["occupancy"] <= 1
    for metric in ("auroc", "oscr", "fpr95", "aupr"):
        assert list(evaluation[metric]) == ["distance", "mos", "knn", "rmds", "knn_z"]
    assert evaluation["held_out"] == "test"
    assert result["seconds"] > 0
    assert result["hardware"]["device"] == "cpu"
    assert result["hardware"]["threads"] == 1
    assert {"python", "torch", "difair-hpc", "commit"} <= set(result["versions"])
    assert result["data_fingerprint"] == tiny.fingerprint
    assert list(place.points()) == spooled_epochs(place) == [1, 2, 3]
    assert place.points()[3]["metrics"]["closed_set_accuracy"] == evaluation["closed_set_accuracy"]
    weights = torch.load(place.path / "model.pt", weights_only=True)["weights"]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    end = view(place.path, 1).end
    assert end is not None
    assert end["reason"] == "finished"


def test_a_second_call_trains_nothing_and_changes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = executed(tmp_path)
    before = snapshot(tmp_path)
    monkeypatch.setattr("difair_hpc.runs.run.fit", None)
    assert execute(place, execution(), Events()) == "completed"
    assert snapshot(tmp_path) == before


def test_a_failure_is_on_record_with_its_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    place = created(tmp_path)
    monkeypatch.setattr("difair_hpc.runs.run.load", broken)
    with pytest.raises(RunFailed, match="RuntimeError: boom") as caught:
        execute(place, execution(), Events())
    assert caught.value.exit_code == 1
    state = place.state()
    assert (state.status, state.message) == ("failed", "RuntimeError: boom")
    end = view(place.path, 1).end
    assert end is not None
    assert 'raise RuntimeError("boom")' in end["trace"]
    assert place.result() is None


def test_missing_data_are_the_users_turn_and_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    place = created(tmp_path, replace(spec(), benchmark=BenchmarkSpec(name="mnist")))
    with pytest.raises(DataMissing, match="mnist") as caught:
        execute(place, execution(data_root=str(tmp_path / "data")), Events())
    assert place.state().status == "failed"
    assert place.state().message == str(caught.value)


def test_a_job_executes_its_runs_and_passes_over_what_it_cannot_or_need_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, last = created(tmp_path), created(tmp_path, replace(spec(), seed=1))
    busy, failing = created(tmp_path, replace(spec(), seed=2)), "0123456789ab"
    with Attempt(busy.path, {}):
        run_job(str(tmp_path), [failing, first.signature, busy.signature, last.signature], plain(execution()))
    assert [place.state().status for place in (first, last)] == ["done", "done"]
    assert busy.state().attempts == 1
    assert "there is no run 0123456789ab" in capsys.readouterr().err


def test_a_job_passes_over_what_is_held_and_stops_where_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, first, second = (created(tmp_path, replace(spec(), seed=seed)) for seed in range(3))
    write_mark(held.path, Mark(hold="held"))
    names = [place.signature for place in (held, first, second)]
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    assert run_job(str(tmp_path), names, plain(execution()), minutes=0.05, slurm=True) == TIME
    assert [place.state().status for place in (held, first, second)] == ["new", "stopped", "new"]
    end = view(first.path, 1).end
    assert end is not None
    assert (end["signal"], end["epoch"]) == (TIME, 1)
    assert view(first.path, 1).place.job == "7_0"
    assert first.state().job == "7_0"
    assert run_job(str(tmp_path), names, plain(execution()), slurm=True) == ""
    assert [place.state().status for place in (held, first, second)] == ["new", "done", "done"]
    assert first.state().job == "7_0", "where it was finished stays known"


def test_a_run_that_pauses_between_its_steps_is_the_same_run(tmp_path: Path) -> None:
    place = created(tmp_path)
    assert execute(place, execution(pause_seconds=0.01), Events()) == "completed"
    assert outcome(place) == uninterrupted()


def test_a_pause_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    place, asked = created(tmp_path), iter([False, False])
    events = Events(should_stop=lambda: next(asked, True))
    assert execute(place, execution(pause_seconds=1e6), events) == "stopped"
    assert place.state().step == 0


def test_a_mark_makes_a_run_save_and_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, found, really_look = created(tmp_path), threading.Event(), StopWatch.look

    def look(watch: StopWatch) -> None:
        really_look(watch)
        if watch.asked():
            found.set()

    def hold(state: TrainState) -> None:
        if state.epoch == 2:
            write_mark(place.path, Mark(hold="held"))
            assert found.wait(HANG_SECONDS), "the thread of the heartbeat looks"

    monkeypatch.setattr("difair_hpc.runs.stop._LOOK_SECONDS", 0.0)
    monkeypatch.setattr(StopWatch, "look", look)

    assert execute(place, execution(checkpoint_epochs=9), Events(on_epoch=hold)) == "stopped"
    end = view(place.path, 1).end
    assert end is not None
    assert (end["signal"], end["epoch"], list(place.points())) == ("held", 2, [1, 2])


def test_a_job_that_slurm_started_again_takes_its_run_over_at_once(tmp_path: Path) -> None:
    place = created(tmp_path)
    where = asdict(Place(job="7_0", restart=0, node="lost"))
    put_attempt(place.path, 1, started=time.time(), place=where)  # on another machine, and heard just now
    with pytest.raises(RunBusy):
        execute(place, execution(), Events(), Place(job="8_0", node="n2"))
    with pytest.raises(RunBusy):
        execute(place, execution(), Events(), Place(job="7_0", restart=0, node="n2"))
    assert execute(place, execution(), Events(), Place(job="7_0", restart=1, node="n2")) == "completed"


@pytest.mark.slow
def test_a_job_waits_for_a_silent_holder_on_another_machine_and_takes_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difair_hpc.runs.attempts.SILENCE_LIMIT", 2.0)
    place = created(tmp_path)
    put_attempt(place.path, 1, started=time.time())
    run_job(str(tmp_path), [place.signature], plain(execution()))
    assert place.state().status == "done"
    assert place.state().attempts == 2


def test_a_busy_run_is_left_alone(tmp_path: Path) -> None:
    place = created(tmp_path)
    with Attempt(place.path, {}):
        before = set(snapshot(tmp_path))
        with pytest.raises(RunBusy, match=f"process {os.getpid()} on "):
            execute(place, execution(), Events())
        assert set(snapshot(tmp_path)) == before


@pytest.mark.parametrize("last_epoch", [1, 3])
def test_a_superseded_attempt_writes_nothing_that_counts(tmp_path: Path, last_epoch: int) -> None:
    place = created(tmp_path)
    at_takeover: dict[str, tuple[int, bytes]] = {}

    def take_over(state: TrainState) -> None:
        if state.epoch == last_epoch:
            assert eventually(lambda: last_epoch in place.points())
            put_attempt(place.path, 2)
            at_takeover.update(snapshot(place.path))

    assert execute(place, execution(), Events(on_epoch=take_over)) == "superseded"
    now = snapshot(place.path)
    assert set(now) - set(at_takeover) <= {"attempts/0001.end.json"}
    own_words = {"attempts/0001.beat.json", "attempts/0001.end.json"}
    assert {name: now[name] for name in now if name not in own_words} == {
        name: content for name, content in at_takeover.items() if name not in own_words
    }
    assert list(place.points()) == list(range(1, last_epoch + 1))
    assert place.result() is None
    end = view(place.path, 1).end
    assert end is not None
    assert end["reason"] == "superseded"


def test_an_attempt_that_is_superseded_after_its_save_leaves_the_spool_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, keep = created(tmp_path), checkpoint.keep

    def keep_and_be_given_up(folder: Path, count: int, *, sound: Path) -> None:
        keep(folder, count, sound=sound)
        if "-000002-" in sound.name:
            put_attempt(place.path, 2)

    monkeypatch.setattr(checkpoint, "keep", keep_and_be_given_up)
    assert execute(place, execution(), Events()) == "superseded"
    assert len(checkpoint.newest_first(place.path)) == 2
    assert spooled_epochs(place) == [1]


def test_a_diverged_run_is_done_without_an_evaluation(tmp_path: Path) -> None:
    place = created(tmp_path, spec(learning_rate=1e30))
    assert execute(place, execution(), Events()) == "diverged"
    result = resulting(place)
    assert (result["outcome"], result["evaluation"], result["epochs"]) == ("diverged", None, 1)
    assert math.isnan(place.points()[1]["metrics"]["train_loss"])
    assert execute(place, execution(), Events()) == "diverged"
    (place.path / "result.json").unlink()
    for path in checkpoint.newest_first(place.path):
        spoil(path)
    assert execute(place, execution(), Events()) == "diverged"
    assert not [text for text in resulting(place)["warnings"] if "other values" in text]  # NaN again is no other value


def test_what_the_data_warn_of_is_in_the_result_once(
    tmp_path: Path, tiny: OpenSetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = replace(tiny, warnings=("digits: a partial copy",))
    monkeypatch.setattr("difair_hpc.runs.run.load", lambda *_: partial)
    place = interrupted(tmp_path, STEPS)
    execute(place, execution(), Events())
    assert resulting(place)["warnings"] == ["digits: a partial copy"]


def test_the_heartbeat_tells_position_and_accuracy(tmp_path: Path) -> None:
    place = created(tmp_path)
    execute(place, execution(), Events())
    end = view(place.path, 1).end
    assert end is not None
    assert (end["epoch"], end["step"], end["steps"]) == (3, 0, STEPS)
    assert end["accuracy"] == resulting(place)["evaluation"]["closed_set_accuracy"]


@pytest.mark.parametrize(
    ("device", "allowed"), [("gpu9", "auto, cpu, cuda"), ("cuda", "cpu here: torch sees no CUDA GPU")]
)
def test_a_device_that_is_not_there_is_named(
    tmp_path: Path, device: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InvalidValue, match=f"execution.device={device} .*{allowed}"):
        execute(created(tmp_path), execution(device=device), Events())


def test_a_run_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    place = created(tmp_path)
    content = json.loads((place.path / "spec.json").read_text())
    (place.path / "spec.json").write_text(json.dumps(content | {"schema": SCHEMA + 1}))
    before = snapshot(tmp_path)
    with pytest.raises(NewerSchema):
        execute(place, execution(), Events())
    assert snapshot(tmp_path) == before
