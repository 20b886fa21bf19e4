"""Training waits for no MLflow: down, killed, silent or locked; and afterwards each epoch is there exactly once."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.job import run_job
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.shipping import Shipping
from difair_hpc.runs.spec import plain
from difair_hpc.runs.tracking import default_uri
from tests.marks import USES_MLFLOW
from tests.mlflow_server import MlflowServer, free_port, silent_server
from tests.runs.made import created, execution, spec
from tests.runs.mlflow_rows import Shown, behind, ship
from tests.waiting import HANG_SECONDS, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("mlflow"),
    *USES_MLFLOW,
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every tenth of a second for something to ship; a busy machine's server may take its time to answer."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    monkeypatch.setattr("difair_hpc.runs.shipping._EVERY_SECONDS", 0.1)


def described(root: Path, place: RunFolder) -> Path:
    """Write the study.json of a study of one run, and return the study's folder."""
    study = root / "studies/digits"
    study.mkdir(parents=True)
    trial = {"number": 0, "signature": place.signature, "parameters": {"method.alpha": 10}}
    stage = {"name": "coarse", "search": "final", "complete": False, "trials": [trial]}
    (study / "study.json").write_text(json.dumps({"study": "digits", "stages": [stage]}))
    return study


def worked(root: Path, place: RunFolder, uri: str) -> None:
    """Execute a run as a job does that ships to a server."""
    run_job(str(root), [place.signature], plain(execution()), server=uri, study=root / "studies/digits")


def shippers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "shipping"]


@pytest.fixture
def place(tmp_path: Path, tiny: object) -> RunFolder:
    """Return a run of six epochs in a study."""
    place = created(tmp_path, spec(epochs=6))
    described(tmp_path, place)
    return place


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Return what lets a job call something after each epoch."""

    def at(act: Callable[[int], None]) -> None:
        monkeypatch.setattr("difair_hpc.runs.job._say", lambda _signature, state: act(state.epoch))

    return at


def test_a_job_ships_while_it_trains(
    tmp_path: Path, place: RunFolder, server: MlflowServer, out: Callable[[Callable[[int], None]], None]
) -> None:
    shown, seen = behind(server, tmp_path), []

    def look(epoch: int) -> None:
        if epoch == 4:
            eventually(lambda: len(shown.epochs(place.signature)) >= 4)
            seen.append((shown.epochs(place.signature), [status for status, _ in shown.statuses()]))

    out(look)
    worked(tmp_path, place, server.uri)
    assert seen == [([1, 2, 3, 4], ["RUNNING"])]
    assert eventually(lambda: not shippers())
    ship(shown.tracker(), place)
    assert shown.epochs(place.signature) == [1, 2, 3, 4, 5, 6]
    result = place.result()
    assert result is not None
    assert shown.statuses() == [("FINISHED", int(result["finished"] * 1000))]
    assert Counter(key for key, *_ in shown.points(place.signature))["oscr.mos"] == 1


def test_a_server_that_is_killed_and_comes_back(
    tmp_path: Path,
    place: RunFolder,
    server: MlflowServer,
    out: Callable[[Callable[[int], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = behind(server, tmp_path)

    def kill(epoch: int) -> None:
        if epoch == 3:
            eventually(lambda: shown.epochs(place.signature))
            server.kill()

    out(kill)
    try:
        worked(tmp_path, place, server.uri)
        result = place.result()
        assert result is not None
        assert result["outcome"] == "completed"
    finally:
        server.start()
    assert eventually(lambda: not shippers())
    assert capsys.readouterr().err.count("difair sync ships it later") <= 1
    ship(shown.tracker(), place)
    assert shown.epochs(place.signature) == [1, 2, 3, 4, 5, 6]
    assert [status for status, _ in shown.statuses()] == ["FINISHED"]


def test_a_server_that_is_down_for_the_whole_run(
    tmp_path: Path, place: RunFolder, server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    worked(tmp_path, place, f"http://127.0.0.1:{free_port()}")
    assert place.result() is not None
    assert eventually(lambda: not shippers())
    said = capsys.readouterr().err
    assert said.count("\n") == said.count("warning: the MLflow store http://127.0.0.1:") == 1
    assert "nothing is lost: difair sync ships it later" in said
    shown = behind(server, tmp_path)
    ship(shown.tracker(), place)
    assert shown.epochs(place.signature) == [1, 2, 3, 4, 5, 6]


def test_nothing_waits_for_a_server_that_never_answers(
    tmp_path: Path, place: RunFolder, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3600")
    monkeypatch.setattr("difair_hpc.runs.job.DRAIN_SECONDS", 0.5)
    with silent_server() as uri:
        worked(tmp_path, place, uri)
        result = place.result()
        assert result is not None
        assert shippers(), "the question is still open, and the job has returned"
        assert result["warnings"] == []
    assert eventually(lambda: not shippers())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    shown = behind(server, tmp_path)
    ship(shown.tracker(), place)
    assert shown.epochs(place.signature) == [1, 2, 3, 4, 5, 6]


def test_a_database_that_another_has_locked(tmp_path: Path, place: RunFolder, migrated: Path) -> None:
    shown = Shown(root=tmp_path, uri=default_uri(tmp_path), database=migrated)
    tracker, told = shown.tracker(), list[str]()
    lock = sqlite3.connect(shown.database, isolation_level=None)
    lock.execute("begin exclusive")
    shipping = Shipping(told.append)
    with shipping.beside(lambda: ship(tracker, place)):
        execute(place, execution(), Events())
        assert place.result() is not None
        lock.close()
    if shipping.out:
        ship(tracker, place)
    assert all("nothing is lost" in line for line in told)
    assert shown.epochs(place.signature) == [1, 2, 3, 4, 5, 6]
    assert [status for status, _ in shown.statuses()] == ["FINISHED"]


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("y"), RuntimeError("z"), MemoryError(), OSError("w")])
def test_an_exception_of_any_kind_ends_no_shipping(error: Exception) -> None:
    told: list[str] = []
    ships = iter([error, error, None, error])
    done = threading.Event()

    def ship() -> None:
        found = next(ships, None)
        if found is not None:
            raise found
        done.set()

    shipping = Shipping(told.append)
    with shipping.beside(ship):
        assert done.wait(HANG_SECONDS)
    assert told[0].startswith(f"MLflow could not be brought up to date ({type(error).__name__}: ")
    assert "difair sync ships it later" in told[0]
    assert len(told) <= 2, "once per outage"
