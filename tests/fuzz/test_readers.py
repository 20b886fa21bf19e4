"""Readers of what is on disk, fed random bytes and damaged files: what was written, nothing, or a named complaint."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from difair_hpc.errors import DataDamaged, NewerSchema
from difair_hpc.runs import outputs, spool
from difair_hpc.runs.attempts import Attempt, views
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.sweep.jobs import JobEnd
from difair_hpc.sweep.ledger import Ledger, Trial
from difair_hpc.sweep.nodes import BadNodes, NodeRule
from difair_hpc.sweep.queue import parse_accounts, parse_queue
from difair_hpc.sweep.waves import Waves
from difair_hpc.train import checkpoint
from tests.fuzz.cases import damaged_bytes, damaged_value
from tests.fuzz.profile import tries

SEEDS = st.integers(min_value=0, max_value=2**32)
BYTES = st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode), st.just(b"[" * 100_000))
POINTS = {epoch: {"epoch": epoch, "time": 1.7e9 + epoch, "metrics": {"loss": 1 / epoch}} for epoch in range(1, 6)}
TRIALS = [Trial(number=one, parameters={"method.alpha": one / 3}, signature=f"{one:012x}") for one in range(5)]


def hurt(path: Path, seed: int) -> None:
    """Damage a file as bytes, or, where it holds JSON, one of its values."""
    chance = random.Random(seed)
    content = path.read_bytes()
    if path.suffix == ".json" and chance.random() < 0.5:
        path.write_text(json.dumps(damaged_value(chance, json.loads(content))))
    else:
        path.write_bytes(damaged_bytes(chance, content))


def written_checkpoints(folder: Path) -> list[Path]:
    for old in checkpoint.newest_first(folder):
        old.unlink()
    for epoch in (1, 2):
        payload = {"epoch": epoch, "weights": torch.full((50,), float(epoch))}
        checkpoint.save(folder, payload, attempt=1, epoch=epoch, step=0)
    return checkpoint.newest_first(folder)


@tries(60)
@given(seed=SEEDS, both=st.booleans())
def test_a_checkpoint_is_what_was_saved_or_none(tmp_path: Path, seed: int, both: bool) -> None:
    newest, older = written_checkpoints(tmp_path)
    before = newest.read_bytes()
    hurt(newest, seed)
    if both:
        hurt(older, seed)
    loaded = checkpoint.load_newest(tmp_path)
    if newest.read_bytes() == before:
        assert loaded is not None
        assert loaded.payload["epoch"] == 2
    elif loaded is None:
        assert both
    else:
        assert torch.equal(loaded.payload["weights"], torch.full((50,), 1.0))
        assert newest.name in loaded.skipped[0]


@tries(40)
@given(content=BYTES)
def test_random_bytes_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint-0001-000001-000000.pt").write_bytes(content)
    assert checkpoint.load_newest(tmp_path) is None


def test_a_folder_in_the_place_of_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    newest, _ = written_checkpoints(tmp_path)
    newest.unlink()
    newest.mkdir()
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.payload["epoch"], len(loaded.skipped)) == (1, 1)


@tries(60)
@given(cut=st.integers(min_value=0, max_value=400), tail=BYTES)
def test_a_cut_spool_gives_the_points_that_are_whole(tmp_path: Path, cut: int, tail: bytes) -> None:
    path = tmp_path / spool.NAME
    path.unlink(missing_ok=True)
    spool.append(tmp_path, POINTS.values(), attempt=1)
    path.write_bytes(path.read_bytes()[:cut] + tail)
    for epoch, point in spool.read(tmp_path).items():
        assert point == POINTS[epoch]
    spool.append(tmp_path, POINTS.values(), attempt=2)  # what is appended after a torn line is whole
    assert spool.read(tmp_path) == POINTS


@tries(60)
@given(cut=st.integers(min_value=0, max_value=500), tail=BYTES)
def test_a_cut_ledger_gives_the_trials_that_are_whole(tmp_path: Path, cut: int, tail: bytes) -> None:
    path = tmp_path / "coarse.jsonl"
    path.unlink(missing_ok=True)
    book = Ledger(tmp_path)
    book.add("coarse", *TRIALS)
    path.write_bytes(path.read_bytes()[:cut] + tail)
    assert all(trial in TRIALS for trial in book.trials("coarse"))
    book.add("coarse", *TRIALS)
    assert book.trials("coarse") == TRIALS


@tries(60)
@given(seed=SEEDS)
def test_an_attempt_of_which_any_file_is_damaged_reads(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / f"run{seed}"
    folder.mkdir(exist_ok=True)
    with Attempt(folder, {"place": {"job": "4711_0"}}) as attempt:
        attempt.at(epoch=2, step=1, steps=7, accuracy=0.5)
        attempt.end("stopped", signal="SIGTERM")
    write_mark(folder, Mark(hold="held", by="a test", jobs=("4711_0",)))
    for path in sorted(folder.rglob("*.json")):
        hurt(path, seed)
    (view,) = views(folder)
    assert isinstance(view.alive, bool)
    assert all(isinstance(part, int) for part in view.position)
    assert view.seconds >= 0
    assert isinstance(view.place.job, str)
    assert isinstance(RunFolder(folder).state().message, str)
    assert read_mark(folder).hold in ("", "held", "cancelled")


@tries(60)
@given(seed=SEEDS)
def test_a_result_is_whole_or_none(tmp_path: Path, whole_root: Path, seed: int) -> None:
    (path,) = [path for path in whole_root.glob("runs/*/result.json") if (path.parent / "model.pt").exists()]
    sound = json.loads(path.read_text())
    copy = tmp_path / "result.json"
    copy.write_text(json.dumps(sound))
    hurt(copy, seed)
    try:
        found = RunFolder(tmp_path).result()
        state = RunFolder(tmp_path).state()
    except NewerSchema:
        return
    assert (found is None) == (state.status == "new")
    assert found is None or isinstance(found["spec"]["protocol"]["epochs"], int)


@tries(40)
@given(seed=SEEDS)
def test_waves_of_which_any_file_is_damaged_read_and_are_followed_by_another(tmp_path: Path, seed: int) -> None:
    waves = Waves(tmp_path / str(seed))
    wave = waves.add({"jobs": [["a", "b"], ["b", "a"]], "begun": [0, 2]})
    waves.answer(wave, job="4711")
    waves.end(wave, {0: JobEnd(id="4711_0", state="COMPLETED", time=1.0)})
    for path in sorted((tmp_path / str(seed)).glob("*.json")):
        hurt(path, seed)
    (tmp_path / str(seed) / "xxxx.json").write_text("{}")
    found = Waves(tmp_path / str(seed))
    for wave in found.read():
        assert len(wave.begun) == len(wave.jobs)
        assert all(0 <= task < len(wave.jobs) for task in wave.ends)
    assert found.add({"jobs": [["a"]], "begun": [0]}).number == 2, "the number of a damaged wave is not taken again"


@tries(40)
@given(seed=SEEDS)
def test_nodes_of_a_damaged_file_are_named_or_none(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"n1": {"until": 4e9, "why": "2 runs failed"}, "n2": {"until": 1.0, "why": "old"}}))
    hurt(path, seed)
    assert all(isinstance(node, str) for node in BadNodes(path, NodeRule()).now([]))


@tries(40)
@given(seed=SEEDS)
def test_outputs_are_whole_or_named(tmp_path: Path, whole_root: Path, seed: int) -> None:
    (path,) = whole_root.glob(f"runs/*/{outputs.NAME}")
    copy = tmp_path / outputs.NAME
    copy.write_bytes(path.read_bytes())
    hurt(copy, seed)
    try:
        found = outputs.load(tmp_path)
    except DataDamaged as error:
        complaint = str(error)
    else:
        assert found is not None
        assert found.outputs.known.features_BD.shape[0] == found.outputs.known.labels_B.shape[0]
        return
    assert str(copy) in complaint


@pytest.mark.parametrize("parse", [parse_queue, parse_accounts])
@tries(40)
@given(text=st.one_of(st.text(), st.text(alphabet="|0123456789_ab\n", max_size=60)))
def test_whatever_slurm_prints_is_read(parse: Callable[[str], object], text: str) -> None:
    parse(text)
