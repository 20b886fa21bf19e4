"""A run that was stopped, crashed or damaged goes on and ends to the same bit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from difair_hpc.data.sets import OpenSetData
from difair_hpc.errors import RunFailed, UserError
from difair_hpc.osr.spec import ArplCsSpec, ArplSpec, CrossEntropySpec, DifairSpec, MethodSpec
from difair_hpc.runs import facts
from difair_hpc.runs.attempts import views
from difair_hpc.runs.marks import Mark, end_pruning, read_mark, write_mark
from difair_hpc.runs.model import load_model
from difair_hpc.runs.run import Events, execute
from difair_hpc.train import checkpoint
from difair_hpc.train.trainer import TrainState
from tests.runs.made import STEPS, created, execution, outcome, spooled_epochs, stop_after
from tests.runs.run_to import executed, interrupted, resulting, spoil, uninterrupted
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("method", [DifairSpec(), CrossEntropySpec()], ids=["difair", "cross_entropy"])
def test_a_run_that_was_stopped_twice_is_the_same_to_the_bit(tmp_path: Path, method: MethodSpec) -> None:
    place = interrupted(tmp_path / "parts", STEPS + 1, method)
    state = place.state()
    assert (state.status, state.epoch, state.step, state.steps) == ("stopped", 1, 1, STEPS)
    first_point = place.points()[1]
    assert execute(place, execution(), Events(should_stop=stop_after(1))) == "stopped"
    assert (place.state().epoch, place.state().step) == (1, 2)  # saved between batches: no step is lost
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted(method)
    assert spooled_epochs(place) == [1, 2, 3]
    assert place.points()[1] == first_point
    assert resulting(place)["attempts"] == 3
    assert [(v.end or {})["reason"] for v in views(place.path)] == ["stopped", "stopped", "finished"]


def test_a_run_that_a_search_pruned_and_somebody_else_wants_is_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difair_hpc.runs.stop._LOOK_SECONDS", 0.0)
    place = created(tmp_path)
    pruned = Mark(hold="pruned", by="stage coarse of study halved", pruned_in=("halved/coarse-1",))
    heard: list[Mark] = []

    def read(folder: Path) -> Mark:
        heard.append(read_mark(folder))
        return heard[-1]

    def prune(_: TrainState) -> None:
        write_mark(place.path, pruned)
        # The thread of the heartbeat reads it; at its second reading the first has had its effect.
        assert eventually(lambda: [mark.hold for mark in heard].count("pruned") > 1)

    monkeypatch.setattr("difair_hpc.runs.stop.read_mark", read)
    ending = execute(place, execution(), Events(on_epoch=prune))
    assert (ending, place.state().epoch, (views(place.path)[0].end or {})["signal"]) == ("stopped", 1, "pruned")
    end_pruning(place.path)
    assert (read_mark(place.path).hold, read_mark(place.path).pruned_in) == ("", ("halved/coarse-1",))
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted()


def test_a_request_to_stop_before_the_first_batch_is_heard(tmp_path: Path) -> None:
    place = interrupted(tmp_path, 0)
    assert (place.state().epoch, place.state().step) == (0, 0)
    assert place.points() == {}
    assert execute(place, execution(), Events()) == "completed"


def test_a_crash_costs_what_no_checkpoint_covers_and_shows_none_of_it(tmp_path: Path) -> None:
    place = created(tmp_path / "parts")
    seen: list[int] = []

    def crash(state: TrainState) -> None:
        seen.append(state.epoch)
        if len(seen) == 2:
            raise MemoryError("out of memory")

    rarely = execution(checkpoint_epochs=10)
    with pytest.raises(RunFailed, match=f"run {place.signature} failed: MemoryError: out of memory"):
        execute(place, rarely, Events(on_epoch=crash))
    assert place.points() == {}
    assert execute(place, rarely, Events(on_epoch=crash)) == "completed"
    assert seen == [1, 2, 1, 2, 3]
    assert outcome(place) == uninterrupted()
    assert spooled_epochs(place) == [1, 2, 3]


def test_a_checkpoint_is_due_after_some_time_too(tmp_path: Path) -> None:
    place = created(tmp_path)
    kept: list[list[int]] = []
    often = execution(checkpoint_epochs=100, checkpoint_seconds=0.0)

    def look(state: TrainState) -> None:
        eventually(lambda: state.epoch in place.points())
        kept.append(list(place.points()))

    execute(place, often, Events(on_epoch=look))
    assert kept == [[1], [1, 2], [1, 2, 3]]


def test_other_images_than_at_the_beginning_are_refused(
    tmp_path: Path, tiny: OpenSetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = interrupted(tmp_path, STEPS)
    before = checkpoint.newest_first(place.path)
    other = replace(tiny, fingerprint="f" * 64)
    monkeypatch.setattr("difair_hpc.runs.run.load", lambda *_: other)
    with pytest.raises(
        UserError, match=f"begun on other images .*{tiny.fingerprint[:12]}, now ffffffffffff.*root=FOLDER"
    ):
        execute(place, execution(), Events())
    assert place.state().status == "failed"
    assert checkpoint.newest_first(place.path) == before


def test_a_damaged_checkpoint_costs_an_epoch_of_time_and_nothing_else(tmp_path: Path) -> None:
    place = interrupted(tmp_path / "parts", 2 * STEPS)
    moments = {epoch: point["time"] for epoch, point in place.points().items()}
    newest, older = checkpoint.newest_first(place.path)
    spoil(newest)
    seen: list[int] = []
    assert execute(place, execution(), Events(on_epoch=lambda state: seen.append(state.epoch))) == "completed"
    assert seen == [2, 3]
    assert older.name == "checkpoint-0001-000001-000000.pt"
    assert spooled_epochs(place) == [1, 2, 3]
    assert {epoch: place.points()[epoch]["time"] for epoch in (1, 2)} == moments
    (warning,) = resulting(place)["warnings"]
    assert warning.startswith(f"{newest.name} was passed over")
    assert outcome(place) == uninterrupted()


def test_without_a_readable_checkpoint_the_run_begins_again_and_says_so(tmp_path: Path) -> None:
    place = interrupted(tmp_path / "parts", 2 * STEPS)
    for path in checkpoint.newest_first(place.path):
        spoil(path)
    assert execute(place, execution(), Events()) == "completed"
    assert spooled_epochs(place) == [1, 2, 3]
    (warning,) = resulting(place)["warnings"]
    assert "begun again" in warning
    assert "checkpoint-0001-000002-000000.pt" in warning
    assert outcome(place) == uninterrupted()


def test_a_run_that_died_before_its_last_word_gets_its_result(tmp_path: Path) -> None:
    place = executed(tmp_path)
    before = outcome(place)
    for name in ("result.json", "model.pt"):
        (place.path / name).unlink()
    assert place.state().status == "dead"
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == before
    assert spooled_epochs(place) == [1, 2, 3]


def test_a_spool_that_was_torn_is_completed_from_the_checkpoint(tmp_path: Path) -> None:
    place = interrupted(tmp_path, 2 * STEPS)
    lines = (place.path / "metrics.jsonl").read_bytes()
    (place.path / "metrics.jsonl").write_bytes(lines[:-30])
    assert list(place.points()) == [1]
    assert execute(place, execution(), Events()) == "completed"
    assert list(place.points()) == [1, 2, 3]


def test_a_spool_that_is_torn_under_the_hands_of_the_run_is_completed_as_well(tmp_path: Path) -> None:
    place = created(tmp_path)
    path = place.path / "metrics.jsonl"

    def tear(state: TrainState) -> None:
        if state.epoch == 2:
            assert eventually(lambda: list(place.points()) == [1, 2])  # another thread writes it
            path.write_bytes(path.read_bytes()[:-30])

    assert execute(place, execution(), Events(on_epoch=tear)) == "completed"
    assert outcome(place) == uninterrupted()


def test_going_on_with_other_threads_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = interrupted(tmp_path, STEPS)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)  # two real ones take seconds on a busy core
    execute(place, execution(), Events())
    assert resulting(place)["warnings"] == [
        "resumed with 2 CPU threads after 1: equal only up to rounding from there on"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "change"),
    [
        ("MKL_CBWR", "COMPATIBLE", "arithmetic MKL_CBWR=COMPATIBLE after none"),
        ("NVIDIA_TF32_OVERRIDE", "0", "arithmetic NVIDIA_TF32_OVERRIDE=0 after none"),
        ("CUBLAS_WORKSPACE_CONFIG", ":16:8", "arithmetic CUBLAS_WORKSPACE_CONFIG=:16:8 after none"),
    ],
)
def test_going_on_with_other_arithmetic_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, change: str
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    place = interrupted(tmp_path, STEPS)
    monkeypatch.setenv(variable, value)
    execute(place, execution(), Events())
    result = resulting(place)
    assert result["warnings"] == [f"resumed with {change}: equal only up to rounding from there on"]
    assert result["hardware"]["arithmetic"] == f"{variable}={value}"


def test_going_on_with_other_instructions_or_on_another_cpu_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    place = interrupted(tmp_path, STEPS)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr("difair_hpc.runs.facts._cpu_name", lambda: "another one")
    execute(place, execution(), Events())
    (warning,) = resulting(place)["warnings"]
    assert "cpu another one after " in warning
    assert "instructions DEFAULT after AVX512: equal only up to rounding" in warning
    record = json.loads((place.path / "attempts/0002.json").read_text())
    assert record["hardware"]["instructions"] == "DEFAULT"


def test_a_checkpoint_of_an_earlier_version_differs_in_nothing_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("difair_hpc.runs.facts.computing", lambda _: None)
        place = interrupted(tmp_path, STEPS)
    execute(place, execution(), Events())
    assert resulting(place)["warnings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("batches", [STEPS - 1, STEPS + 1, 2 * STEPS + 2])
def test_a_run_with_generated_images_resumes_from_either_pass(tmp_path: Path, batches: int) -> None:
    method = ArplCsSpec()
    place = interrupted(tmp_path / "parts", batches, method)
    state = place.state()
    assert (state.epoch, state.step, state.steps) == (*divmod(batches, 2 * STEPS), 2 * STEPS)
    assert execute(place, execution(), Events()) == "completed"
    assert outcome(place) == uninterrupted(method)
    scores = set(resulting(place)["evaluation"]["auroc"])
    assert scores == {"arpl", "energy", "gen", "knn", "rmds"}
    assert scores == set(uninterrupted(ArplSpec())["evaluation"]["auroc"])
    model, content = load_model(place)
    assert facts.digest(model.network.state_dict()) == resulting(place)["weights_sha256"]
    assert content["spec"]["method"]["name"] == "arpl_cs"
