"""What may happen to a journal or a database: damage, a dead writer, a server that is gone, two that start at once."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from difair_hpc.errors import Failure, UserError
from difair_hpc.sweep.ledger import Ledger, Trial
from difair_hpc.sweep.storage import _Sealed
from difair_hpc.sweep.study import Search, open_search
from tests.postgres import Server, running_server
from tests.stores import Store
from tests.sweep.test_study import COARSE, POINTS, landscape, opened, recorded, sampled, stored


@pytest.fixture
def journal(tmp_path: Path) -> Store:
    return Store(place=tmp_path / "optuna.journal")


def path_of(store: Store) -> Path:
    assert isinstance(store.place, Path)
    return store.place


def _tear(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-5])


def _garbage(journal: Path) -> None:
    journal.write_bytes(b"\x00\xff garbage\n" + journal.read_bytes())


def _foreign(journal: Path) -> None:
    journal.write_text('{"hello": 1}\n[2]\n')


def _hole(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[1:]))


@pytest.mark.parametrize("damage", [_tear, _garbage, _foreign, _hole], ids=lambda damage: damage.__name__)
def test_a_damaged_journal_is_rebuilt_from_the_ledger(journal: Store, damage: Callable[[Path], object]) -> None:
    trials = recorded(opened(journal, sampled("random")), 4)
    damage(path_of(journal))
    again = opened(journal, sampled("random"), trials)
    assert [trial.params for trial in stored(journal, sampled())] == [trial.parameters for trial in trials]
    for number in {0, 1, 2, 3} - again.told():
        again.tell(number, landscape(trials[number].parameters), signature=f"run{number}")
    assert again.propose()[0] == 4
    kept = list(path_of(journal).parent.glob("optuna.journal.damaged-*"))
    assert len(kept) == 1, "what cannot be read is moved aside, not deleted"


def test_a_writer_that_dies_at_any_line_of_the_journal_leaves_no_wrong_trial(tmp_path: Path, journal: Store) -> None:
    """The journal ends after each of its lines in turn, while the ledger has all trials but the last, or all."""
    stage = sampled("random")
    trials = recorded(opened(journal, stage), 2)
    trials += recorded(opened(journal, stage, trials), 1, told=False)
    lines = path_of(journal).read_bytes().splitlines(keepends=True)
    assert len(lines) > 12
    for count in range(1, len(lines) + 1):
        for known in (trials[:2], trials):
            place = tmp_path / f"{count}-{len(known)}"
            place.mkdir()
            (place / "optuna.journal").write_bytes(b"".join(lines[:count]))
            store = Store(place=place / "optuna.journal")
            again = opened(store, stage, known)
            held = stored(store, stage)
            assert [trial.params for trial in held] == [trial.parameters for trial in known]
            assert all(trial.state is not TrialState.WAITING for trial in held)
            if len(known) == 2:
                assert again.propose() == (2, trials[2].parameters)


def test_catching_up_with_what_is_held_leaves_the_journal_as_it_is(journal: Store) -> None:
    opened(journal, COARSE, POINTS)
    before = path_of(journal).read_bytes()
    opened(journal, COARSE, POINTS)
    assert path_of(journal).read_bytes() == before


@pytest.mark.timeout(20)  # Optuna itself would wait 30 seconds for a lock that nobody holds
def test_a_lock_that_a_dead_writer_left_behind_does_not_hang(journal: Store) -> None:
    trials = recorded(opened(journal, sampled("random")), 1)
    path = path_of(journal)
    path.with_name(f"{path.name}.lock").symlink_to(path)
    path.with_name(f"{path.name}.lock.rename").write_text("")
    assert opened(journal, sampled("random"), trials).propose()[0] == 1


def test_a_journal_that_is_gone_under_way_is_one_message(journal: Store) -> None:
    search = opened(journal, COARSE, POINTS)
    path_of(journal).unlink()
    with pytest.raises(Failure) as caught:
        search.tell(0, None, signature="run0")
    assert str(caught.value) == (
        f"Optuna's storage {journal.place} cannot be used: [Errno 2] No such file or directory: '{journal.place}'. "
        "Runs that were started go on, and nothing is lost: repeat the command when it can be used again."
    )
    opened(journal, COARSE, POINTS).tell(0, None, signature="run0")


def test_without_its_driver_a_database_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError) as caught:
        Search(storage="postgresql://127.0.0.1:1/optuna", name="n", stage=COARSE, axes=COARSE.space)
    assert "pip install 'difair-hpc[postgres]'" in str(caught.value)


def test_a_database_that_nobody_serves_is_one_message() -> None:
    url = "postgresql://somebody@127.0.0.1:1/optuna"
    with pytest.raises(Failure) as caught:
        Search(storage=url, name="n", stage=COARSE, axes=COARSE.space)
    message = str(caught.value)
    for part in (f"Optuna's storage {url} cannot be used", "Connection refused", "Runs that were started go on"):
        assert part in message
    assert "storage= (nothing) takes a journal" in message
    assert "\n" not in message


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may stop."""
    with running_server() as server:
        yield server


@pytest.mark.postgres
def test_a_server_that_goes_away_loses_nothing(own_server: Server) -> None:
    store = Store(place=own_server.database(), server=own_server)
    search = opened(store, COARSE, POINTS)
    search.tell(0, {"closed_set_accuracy": 0.5}, signature="run0")
    own_server.stop()
    with pytest.raises(Failure, match="cannot be used"):
        search.tell(1, {"closed_set_accuracy": 0.75}, signature="run1")
    assert search.told() == {0}
    own_server.start()
    search.tell(1, {"closed_set_accuracy": 0.75}, signature="run1")
    own_server.stop()  # a restart that nobody was looking at is not noticed
    own_server.start()
    search.tell(2, None, signature="run2")
    held = stored(store, COARSE)
    assert [trial.values for trial in held] == [[0.5], [0.75], None, None]


@pytest.mark.postgres
def test_studies_that_start_at_once_make_the_tables_once(postgres: Server) -> None:
    url = postgres.database()

    def start(number: int) -> int:
        search = Search(storage=url, name=f"n{number}", stage=COARSE, axes=COARSE.space)
        search.catch_up(POINTS)
        return len(search.told())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [0] * 6
    assert len(Store(place=url, server=postgres).names()) == 6


@pytest.mark.postgres
def test_a_study_deleted_in_the_database_is_one_message_and_then_rebuilt(postgres: Server) -> None:
    import optuna

    store = Store(place=postgres.database(), server=postgres)
    search = opened(store, COARSE, POINTS)
    with store.storage() as storage:
        optuna.delete_study(study_name="study/coarse", storage=storage)
    with pytest.raises(Failure, match="cannot be used: .*Record does not exist"):
        search.tell(0, None, signature="run0")
    opened(store, COARSE, POINTS).tell(0, None, signature="run0")


@pytest.mark.postgres
def test_studies_of_one_name_under_two_roots_do_not_meet_in_a_database(tmp_path: Path, postgres: Server) -> None:
    store = Store(place=postgres.database(), server=postgres)
    for root in ("a", "b", "a"):
        folder = Ledger(tmp_path / root / "studies/mini")
        folder.path.mkdir(parents=True, exist_ok=True)
        search = open_search(folder, url=store.url, book="coarse-123456", stage=COARSE, axes=COARSE.space)
        search.catch_up(POINTS[: 1 if root == "a" else 2])
    assert sorted(len(store.trials(name)) for name in store.names()) == [1, 2]
    assert all(name.startswith("mini-") and name.endswith("/coarse-123456") for name in store.names())


def test_ten_thousand_trials_are_written_at_once_and_each_end_in_two(
    journal: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    append = _Sealed.append_logs

    def counted(backend: _Sealed, logs: list[dict[str, Any]]) -> None:
        writes.append(len(logs))
        append(backend, logs)

    monkeypatch.setattr(_Sealed, "append_logs", counted)
    points = [
        Trial(number=number, parameters={"method.alpha": float(1 + number % 19), **rest}, signature=f"run{number}")
        for number in range(10_000)
        for rest in [{"method.radius_coefficient": 0.3, "method.features_per_class": 2}]
    ]
    search = opened(journal, sampled("random"), points)
    assert writes[-1] == 10_000
    assert len(writes) <= 2, "the study, and its trials in one"
    del writes[:]
    for number in range(20):
        search.catch_up(points)
        assert len(writes) == 2 * number, "a tick without news writes nothing"
        search.tell(number, landscape(points[number].parameters), signature=f"run{number}")
        assert len(search.told()) == number + 1
    assert writes == [1] * 40
