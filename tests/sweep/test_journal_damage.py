"""A journal that is damaged under the hands of the process that writes it."""

from pathlib import Path

import pytest

from difair_hpc.errors import StorageUnreachable
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.spec import StudySpec
from tests.stores import Store
from tests.sweep.studies import SEARCH, Bench


def damaged(content: bytes, place: int) -> bytes:
    """Return the journal cut within its last line (a place below 0), or with a bit of that line flipped."""
    if place < 0:
        return content[:place]
    start = content.rstrip(b"\n").rindex(b"\n") + 1
    bits = bytearray(content)
    bits[start + place // 8 % (len(content) - start)] ^= 1 << place % 8
    return bytes(bits)


@pytest.mark.parametrize("place", [-1, -9, *range(0, 2000, 87)])
def test_the_study_goes_on_and_the_next_that_opens_the_journal_makes_it_whole(tmp_path: Path, place: int) -> None:
    study = StudySpec(name="mini", stages=(SEARCH,))
    bench = Bench(tmp_path, parallel=1)
    reconciler = bench.reconciler(study)
    for _ in range(3):
        reconciler.tick()
        bench.cluster.work()
    journal = ledger(tmp_path, "mini").path / "optuna.journal"
    journal.write_bytes(damaged(journal.read_bytes(), place))
    refused = 0
    for _ in range(8):
        bench.cluster.work()
        try:
            seen = reconciler.tick()
        except StorageUnreachable:
            refused += 1
    assert refused <= 1
    assert seen[-1].complete
    bench.reconciler(study).tick()
    store = Store(place=journal)
    (name,) = store.names()
    trials = store.trials(name)
    recorded = ledger(tmp_path, "mini").trials(name.partition("/")[2])
    assert [trial.params for trial in trials] == [trial.parameters for trial in recorded]
    assert len(list(journal.parent.glob("optuna.journal.damaged-*"))) == 1
    for trial, made in zip(trials, recorded, strict=True):
        result = run_folder(tmp_path, made.signature).result()
        assert result is not None
        assert trial.values == [result["evaluation"]["closed_set_accuracy"]]


def test_what_somebody_else_appends_is_no_damage(tmp_path: Path) -> None:
    """Optuna Dashboard keeps its notes in the journal."""
    study = StudySpec(name="mini", stages=(SEARCH,))
    bench = Bench(tmp_path, parallel=1)
    reconciler = bench.reconciler(study)
    reconciler.tick()
    store = Store(place=ledger(tmp_path, "mini").path / "optuna.journal")
    with store.storage() as storage:
        storage.set_study_user_attr(0, "note", "looks well")
    bench.cluster.work()
    reconciler.tick()
    bench.reconciler(study).tick()
    with store.storage() as storage:
        assert storage.get_study_user_attrs(0) == {"note": "looks well"}
    assert not list(tmp_path.glob("studies/mini/*damaged*"))
