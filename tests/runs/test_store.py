"""Each epoch is in MLflow exactly once: in a file and behind a server, by one that ships and by two at once."""

import errno
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.errors import Failure
from difair_hpc.runs.attempts import set_kind
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.points import BATCH, batches
from difair_hpc.runs.reap import reap
from difair_hpc.runs.shipment import SHIPPED
from difair_hpc.runs.sqlite import schema_of
from difair_hpc.runs.tracking import Tracker, default_uri
from tests.cli.made import command
from tests.marks import USES_MLFLOW
from tests.runs.made import created, put_attempt
from tests.runs.mlflow_rows import Shown, behind, ship
from tests.runs.shown import put_dead, put_points
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("mlflow"),
    *USES_MLFLOW,
]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's server may take its time to answer."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")


@pytest.fixture(params=["sqlite", "server"])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Shown:
    """Return an output root and where it is shown: a file under it, or a server that other roots use as well."""
    if request.param == "server":
        return behind(request.getfixturevalue("server"), tmp_path)
    return Shown(root=tmp_path, uri=default_uri(tmp_path), database=request.getfixturevalue("migrated"))


def begun(root: Path, epochs: int = 0, **metrics: float) -> RunFolder:
    """Return a run whose first attempt died after some epochs."""
    place = created(root)
    put_dead(place)
    put_points(place, range(1, epochs + 1), **metrics)
    return place


def set_tag(tracker: Tracker, key: str, value: str) -> None:
    assert tracker._open is not None
    (run,) = (run for name, run in tracker._open.runs.items() if name[0] == "run")
    tracker._open.client.set_tag(run.info.run_id, key, value)


class TestOverEveryStore:
    """A file and a server must hold the same."""

    def test_six_hundred_epochs_of_twenty_metrics_at_once(self, shown: Shown) -> None:
        place = begun(shown.root, 600, **{f"m{number}": number / 7 for number in range(19)})
        ship(shown.tracker(), place)
        points = shown.points(place.signature)
        assert len(points) == len(set(points)) == 12_000
        assert shown.epochs(place.signature) == list(range(1, 601))
        assert shown.tag(place.signature, SHIPPED) == "600"

    def test_what_is_no_number_arrives_and_stops_nothing(self, shown: Shown) -> None:
        place = begun(shown.root, 2, a=float("nan"), b=float("inf"), c=float("-inf"), d=0.5)
        for _ in range(2):
            ship(shown.tracker(), place)
            put_points(place, [3], a=1.0)
        largest = 1.7976931348623157e308  # what MLflow makes of the infinite in a database
        values = {(key, step): value for key, step, _, value in shown.points(place.signature)}
        assert [values[name, 2] for name in "abcd"] == [None, largest, -largest, 0.5]
        assert shown.epochs(place.signature, "a") == [1, 2, 3]

    def test_two_that_ship_at_once_double_nothing(self, shown: Shown) -> None:
        place, failures = begun(shown.root), list[str]()
        together, done = threading.Barrier(2), threading.Event()

        def work() -> None:
            tracker = shown.tracker()
            together.wait()
            while not done.wait(0.05):
                try:
                    ship(tracker, place)
                except Failure as error:  # the other has just changed or deleted it
                    failures.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for epoch in range(1, 61):
            put_points(place, [epoch], occupancy=0.5)
        assert eventually(lambda: shown.epochs(place.signature)[-1:] == [60]), failures
        done.set()
        for thread in threads:
            thread.join()
        ship(shown.tracker(), place)
        assert shown.epochs(place.signature) == shown.epochs(place.signature, "occupancy") == list(range(1, 61))
        assert len(shown.statuses()) == len(shown.statuses("stage")) == len(shown.statuses("study")) == 1

    def test_a_slower_one_that_takes_the_tag_back_loses_nothing(self, shown: Shown) -> None:
        place = begun(shown.root, 9)
        fast = shown.tracker()
        ship(fast, place)
        set_tag(fast, SHIPPED, "4")  # another had read the spool before the last five were in it
        put_points(place, [10])
        ship(shown.tracker(), place)
        assert shown.epochs(place.signature) == list(range(1, 11))
        assert shown.tag(place.signature, SHIPPED) == "10"

    def test_an_epoch_that_was_damaged_in_the_spool_comes_later(self, shown: Shown) -> None:
        place = begun(shown.root, 2)
        put_points(place, [4, 5])
        tracker = shown.tracker()
        ship(tracker, place)
        assert shown.epochs(place.signature) == [1, 2, 4, 5]
        assert shown.tag(place.signature, SHIPPED) == "2"
        put_points(place, [3])
        ship(tracker, place)
        assert shown.epochs(place.signature) == [1, 2, 3, 4, 5]
        assert shown.tag(place.signature, SHIPPED) == "5"

    def test_a_run_that_was_made_twice_is_kept_once(self, shown: Shown) -> None:
        place = begun(shown.root, 3)
        first = shown.tracker()
        ship(first, place)
        assert first._open is not None
        run = first._open.runs["run", "coarse", place.signature]
        own = {key: value for key, value in run.data.tags.items() if key != SHIPPED}
        for _ in range(3):  # requests without an answer that were carried out
            first._open.client.create_run(run.info.experiment_id, tags=own)
        put_points(place, [4])
        for tracker in (first, shown.tracker(), first):
            try:
                ship(tracker, place)
            except Failure:  # it shipped to one that is deleted now
                ship(tracker, place)
            put_points(place, [5])
        assert len(shown.statuses()) == 1
        assert shown.epochs(place.signature) == [1, 2, 3, 4, 5]

    def test_a_resumed_run_has_its_newest_values_and_no_end(self, shown: Shown) -> None:
        place = begun(shown.root, 4)
        set_kind(place.path, 1, "preempted", "its log says so")
        tracker = shown.tracker()
        ship(tracker, place)
        assert [status for status, _ in shown.statuses()] == ["KILLED"]
        put_attempt(place.path, 2)
        ship(tracker, place)
        assert shown.statuses() == [("RUNNING", 0)]
        assert shown.latest(place.signature) == {"train_loss": 4}
        (place.path / "attempts/0002.end.json").write_text(json.dumps({"reason": "failed", "time": 2000.5}))
        ship(tracker, place)
        assert shown.statuses() == [("FAILED", 2_000_500)]

    def test_what_died_without_a_word_is_ended_by_anybody(self, shown: Shown) -> None:
        place = created(shown.root)
        put_attempt(place.path, 1)
        tracker = shown.tracker()
        ship(tracker, place)
        tracker.settle(live=True)
        reap(shown.uri, shown.root)
        assert [status for kind in ("run", "stage", "study") for status, _ in shown.statuses(kind)] == ["RUNNING"] * 3
        put_attempt(place.path, 1, started=1.0)  # no heartbeat since 1970
        (shown.root / "studies/digits").mkdir(parents=True)
        reap(shown.uri, shown.root)
        states = [status for kind in ("run", "stage", "study") for status, _ in shown.statuses(kind)]
        assert states == ["FAILED", "KILLED", "KILLED"]

    def test_a_root_without_locks_is_shown_too(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr("fcntl.flock", refuse)
        place = begun(shown.root, 2)
        ship(shown.tracker(), place)
        assert shown.epochs(place.signature) == [1, 2]

    def test_a_run_of_another_output_root_is_another(self, shown: Shown, tmp_path: Path) -> None:
        mine, other = begun(shown.root, 2), Shown(root=tmp_path / "other", uri=shown.uri, database=shown.database)
        theirs = begun(other.root, 3)
        for _ in range(2):
            ship(shown.tracker(), mine)
            ship(other.tracker(), theirs)
        assert (shown.epochs(mine.signature), other.epochs(theirs.signature)) == ([1, 2], [1, 2, 3])
        assert mine.signature == theirs.signature


def test_batches_say_up_to_where_nothing_is_missing() -> None:
    points = {epoch: {"time": 1.0, "metrics": dict.fromkeys("abc", epoch)} for epoch in (1, 2, 3, 5)}
    assert [(len(metrics), done) for metrics, done in batches(points, 0, size=4)] == [(4, 1), (4, 2), (4, 3)]
    assert [(len(metrics), done) for metrics, done in batches(points, 2, size=4)] == [(4, 3), (2, 3)]
    assert [(len(metrics), done) for metrics, done in batches(points, 0, size=2)][-1] == (2, 3)
    assert list(batches(points, 5)) == []
    assert BATCH == 999


NO_SUCH_SCHEMA = "ffffffffffff"


def rewritten(store: Path) -> None:
    """Let a store be as a newer MLflow leaves it: of a schema that this one does not know."""
    with closing(sqlite3.connect(store)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (NO_SUCH_SCHEMA,))
        database.commit()


def damaged(store: Path) -> None:
    store.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize("hurt", [rewritten, damaged])
def test_a_store_that_this_mlflow_cannot_use_may_be_moved_away_and_made_anew(
    tmp_path: Path, migrated: Path, hurt: Callable[[Path], None]
) -> None:
    place = begun(tmp_path, 2)
    hurt(migrated)
    with pytest.raises(Failure) as said:
        ship(Tracker(default_uri(tmp_path), root=tmp_path, study="digits"), place)
    assert f"Move {migrated} away, and difair sync --rebuild makes it anew from the run folders." in str(said.value)
    assert "upgrade" not in str(said.value)
    migrated.rename(tmp_path / "aside.db")
    done = command("sync", "--rebuild", f"root={tmp_path}", cwd=tmp_path)  # this process still has the old file open
    assert done.returncode == 0, done.stderr
    assert schema_of(migrated)[0] == schema_of(migrated)[1]


@pytest.mark.parametrize("hurt", [rewritten, damaged, None])
def test_doctor_looks_at_the_schema_of_the_store(
    tmp_path: Path, migrated: Path, capsys: pytest.CaptureFixture[str], hurt: Callable[[Path], None] | None
) -> None:
    if hurt is not None:
        hurt(migrated)
    before = migrated.read_bytes()
    main(["doctor", f"root={tmp_path}", "-f", "json"])
    (check,) = (one for one in json.loads(capsys.readouterr().out) if one["what"] == "MLflow")
    assert check["mark"] == ("ok" if hurt is None else "FAIL")
    said = check["found"] + check["advice"]
    assert (f"Move {migrated} away, and difair sync --rebuild" in said) == (hurt is not None)
    assert (NO_SUCH_SCHEMA in said) == (hurt is rewritten)
    assert migrated.read_bytes() == before
