"""A run folder says where its run stands, and refuses what it cannot understand without touching it."""

import json
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.errors import DataDamaged, DifairError, NewerSchema, RootUnusable, UserError
from difair_hpc.osr.spec import CacSpec
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.spec import SCHEMA, RunSpec
from tests.runs.made import created, put_attempt, put_beat, snapshot, spec

RESULT: dict[str, Any] = {
    "schema": SCHEMA,
    "outcome": "completed",
    "spec": {"protocol": {"epochs": 3}},
    "evaluation": {"closed_set_accuracy": 0.75},
    "epochs": 3,
    "attempts": 2,
}


def put_result(run: RunFolder, **changes: Any) -> None:
    (run.path / "result.json").write_text(json.dumps(RESULT | changes))


def test_the_spec_comes_back(tmp_path: Path) -> None:
    run = spec(CacSpec(alpha=3.5), seed=5)
    place = created(tmp_path, run)
    assert place.path == tmp_path / "runs" / run.signature
    assert run_folder(tmp_path, run.signature).spec() == run
    content = json.loads((place.path / "spec.json").read_text())
    assert (content["schema"], content["signature"]) == (SCHEMA, run.signature)


def test_creating_again_changes_nothing(tmp_path: Path) -> None:
    place = created(tmp_path)
    before = snapshot(tmp_path)
    place.create(spec())
    assert snapshot(tmp_path) == before


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    place = created(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(DataDamaged, match=r"spec.json was edited.*move .* away"):
        place.create(spec(seed=1))
    assert snapshot(tmp_path) == before


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run 0123456789ab in .*difair status"):
        run_folder(tmp_path, "0123456789ab").spec()
    assert run_folder(tmp_path, "0123456789ab").state().status == "new"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 1, "spec": 3}', '{"schema": "x", "spec": {}}'])
def test_a_damaged_spec_is_named(tmp_path: Path, content: str) -> None:
    place = created(tmp_path)
    (place.path / "spec.json").write_text(content)
    with pytest.raises(DataDamaged, match=r"spec.json is damaged; move .* away"):
        place.spec()


def test_a_root_that_cannot_be_made_is_named_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RootUnusable, match="root="):
        created(tmp_path / "file")


@pytest.mark.parametrize("name", ["spec.json", "result.json"])
def test_a_newer_schema_is_refused_without_a_change(tmp_path: Path, name: str) -> None:
    place = created(tmp_path)
    content = json.loads((place.path / "spec.json").read_text()) if name == "spec.json" else RESULT
    (place.path / name).write_text(json.dumps(content | {"schema": SCHEMA + 1, "new": "field"}))
    before = snapshot(tmp_path)
    reads = [place.spec, lambda: place.create(spec())] if name == "spec.json" else [place.result, place.state]
    for read in reads:
        with pytest.raises(NewerSchema, match=f"schema {SCHEMA + 1}, this .*up to {SCHEMA}.*Nothing was changed"):
            read()
    assert snapshot(tmp_path) == before
    assert issubclass(NewerSchema, DifairError)


def test_the_states_of_a_run(tmp_path: Path) -> None:
    place = created(tmp_path)
    assert place.state().status == "new"
    with Attempt(place.path, {}) as first:
        first.at(epoch=2, step=5, steps=7, accuracy=0.5)
        assert place.state().status == "running"
        first.end("stopped")
    stopped = place.state()
    assert (stopped.status, stopped.epoch, stopped.step, stopped.steps) == ("stopped", 2, 5, 7)
    assert (stopped.accuracy, stopped.attempts) == (0.5, 1)
    Attempt(place.path, {}).end("failed", message="boom")
    failed = place.state()
    assert (failed.status, failed.message, failed.attempts) == ("failed", "boom", 2)
    put_attempt(place.path, 3, started=1.0)
    put_beat(place.path, 3, {"time": 5.0, "epoch": 1, "step": 6, "steps": 7, "accuracy": None})
    dead = place.state()
    assert (dead.status, dead.epoch, dead.step, dead.started, dead.heard) == ("dead", 1, 6, 1.0, 5.0)
    put_result(place)
    done = place.state()
    assert (done.status, done.epoch, done.accuracy, done.attempts) == ("done", 3, 0.75, 2)
    assert done.result is not None
    assert done.result["outcome"] == "completed"


def test_a_diverged_run_is_done_without_an_accuracy(tmp_path: Path) -> None:
    place = created(tmp_path)
    put_result(place, outcome="diverged", evaluation=None)
    assert (place.state().status, place.state().accuracy) == ("done", None)


def test_a_torn_result_is_none(tmp_path: Path) -> None:
    place = created(tmp_path)
    (place.path / "result.json").write_text('{"schema": 1, "eval')
    assert place.result() is None
    assert place.state().status == "new"


def test_reading_writes_nothing(tmp_path: Path) -> None:
    place = created(tmp_path, RunSpec())
    put_attempt(place.path, 1)
    before = snapshot(tmp_path)
    place.state()
    place.points()
    place.spec()
    assert snapshot(tmp_path) == before


def test_a_run_whose_result_is_damaged_finishes_again(tmp_path: Path) -> None:
    place = created(tmp_path)
    (place.path / "result.json").write_text('{"schema": 1, "eval')
    place.finish(RESULT)
    assert place.state().status == "done"
    place.finish({**RESULT, "epochs": 99})
    assert place.state().epoch == 3, "a whole result stays"


def test_a_spec_that_is_no_run_is_named_with_its_file(tmp_path: Path) -> None:
    place = created(tmp_path)
    content = json.loads((place.path / "spec.json").read_text())
    content["spec"]["protocol"]["epochs"] = "many"
    (place.path / "spec.json").write_text(json.dumps(content))
    with pytest.raises(DataDamaged, match=r"spec\.json is no run .*protocol\.epochs=many"):
        place.spec()
