"""What a store refuses costs that alone: all else arrives, the rest is named, and sent again when it is asked for."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from difair_hpc.errors import Failure
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.parts import MOST_TRIES
from difair_hpc.runs.refused import Refusals, grouped
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.shown import keep_report
from difair_hpc.runs.store import FINAL
from difair_hpc.runs.tracking import Tracker
from tests.marks import USES_MLFLOW
from tests.mlflow_server import MlflowServer
from tests.proxy import PASS, Proxy, Reply, Request, Rule, running_proxy
from tests.runs.made import created, execution, put_attempt, spec
from tests.runs.mlflow_rows import Shown
from tests.runs.shown import drawn, put_points

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("mlflow"),
    *USES_MLFLOW,
]

TOO_LARGE = Reply(status=413, body="<html><h1>413 Request Entity Too Large</h1>nginx</html>")


def model(reply: Reply) -> Rule:
    """Return the rule of a proxy that lets no model through."""
    return lambda asked: reply if asked.method == "PUT" and "/model/" in asked.path else None


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat no request: MLflow's client would wait before."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def done(tmp_path: Path, tiny: object) -> list[RunFolder]:
    """Return two runs that are done."""
    places = [created(tmp_path, spec(epochs=1, seed=seed)) for seed in (0, 1)]
    for place in places:
        execute(place, execution(), Events())
    return places


def shipper(root: Path, proxy: Proxy, *, retry: bool = False, told: list[str] | None = None) -> Tracker:
    tell: Callable[[str], object] = (told if told is not None else []).append
    return Tracker(proxy.uri, root=root, study="digits", draw=drawn, retry=retry, tell=tell)


def ship(tracker: Tracker, places: Iterable[RunFolder], *, times: int = 1) -> Tracker:
    for _ in range(times):
        for place in places:
            tracker.ship(place, stage="coarse", label=place.signature)
    return tracker


def shown(root: Path, server: MlflowServer) -> Shown:
    return Shown(root=root, uri=server.uri, database=server.database)


def artifacts(server: MlflowServer) -> set[str]:
    return {path.name for path in (server.folder / "a").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (TOO_LARGE, "413 Request Entity Too Large: 413 Request Entity Too Large nginx"),
        (Reply(status=0, cut=True), "API request to"),
    ],
    ids=["too large", "cut off"],
)
def test_a_refused_file_costs_that_file(
    tmp_path: Path, server: MlflowServer, done: list[RunFolder], reply: Reply, words: str
) -> None:
    told: list[str] = []
    with running_proxy(server.uri, model(reply)) as proxy:
        tracker = ship(shipper(tmp_path, proxy, told=told), done, times=MOST_TRIES)
        tracker.finish_study()
        seen = shown(tmp_path, server)
        for place in done:
            assert seen.epochs(place.signature) == [1]
            assert seen.tag(place.signature, FINAL) == "true"
            assert any(f"MLflow lacks model of run {place.signature}: " in line for line in told)
        assert [status for status, _ in seen.statuses()] == ["FINISHED"] * 2
        assert {"spec.json", "result.json", "training.png"} <= artifacts(server)
        assert all(words in line and "difair sync --retry" in line for line in tracker.problems)
        before = proxy.count("PUT", "/model/")

        again = ship(shipper(tmp_path, proxy), done)  # nothing is sent again unasked
        assert proxy.count("PUT", "/model/") == before
        assert again.problems == tracker.problems
        assert again.incomplete == {place.signature for place in done}

        ship(shipper(tmp_path, proxy, retry=True), done, times=MOST_TRIES)  # in vain
        assert proxy.count("PUT", "/model/") > before
        assert [*Refusals(tmp_path, proxy.uri, "digits")] != []
        proxy.rule = PASS
        last = ship(shipper(tmp_path, proxy, retry=True), done)
        assert (last.problems, [*Refusals(tmp_path, proxy.uri, "digits")]) == ([], [])
        before = proxy.count("PUT", "")
        ship(shipper(tmp_path, proxy), done)
        assert proxy.count("PUT", "") == before


def test_what_fails_in_passing_is_tried_again_by_itself(
    tmp_path: Path, server: MlflowServer, done: list[RunFolder]
) -> None:
    with running_proxy(server.uri, model(Reply(status=502, body="Bad Gateway"))) as proxy:
        tracker = ship(shipper(tmp_path, proxy), done)
        assert all("it is tried again" in line for line in tracker.problems)
        assert [*Refusals(tmp_path, proxy.uri, "digits")] == []
        proxy.rule = PASS
        assert ship(tracker, done).problems == []
    assert [shown(tmp_path, server).tag(place.signature, FINAL) for place in done] == ["true", "true"]


def test_an_exception_of_any_kind_costs_what_raised_it(
    tmp_path: Path, server: MlflowServer, done: list[RunFolder]
) -> None:
    def fails(folder: RunFolder, target: Path) -> Iterable[Path]:
        raise RuntimeError(f"no font for {folder.signature} in {target}")

    (done[0].path / "result.json").write_text(
        json.dumps({**json.loads((done[0].path / "result.json").read_text()), "schema": 99})
    )
    with running_proxy(server.uri) as proxy:
        tracker = Tracker(proxy.uri, root=tmp_path, study="digits", draw=fails)
        ship(tracker, done)
    newer, figures = sorted(tracker.problems, key=lambda line: "figures" in line)
    assert "has schema 99" in newer
    assert f"MLflow lacks figures of run {done[1].signature}: RuntimeError: no font for" in figures
    assert shown(tmp_path, server).epochs(done[1].signature) == [1]


def test_a_report_that_was_refused_is_sent_again_when_it_changes(tmp_path: Path, server: MlflowServer) -> None:
    report = tmp_path / "studies/digits/report"
    report.mkdir(parents=True)

    def reported(text: str) -> None:
        (report / "report.html").write_text(text)
        (report / "report.md").write_text("short")
        keep_report(report.parent, [report / "report.html", report / "report.md"], "")

    def small(asked: Request) -> Reply | None:
        return TOO_LARGE if asked.method == "PUT" and asked.length > 100 else None

    reported("x" * 101)
    with running_proxy(server.uri, small) as proxy:
        for _ in range(2):
            tracker = shipper(tmp_path, proxy)
            tracker.finish_study()
            keep_report(report.parent, [report / "report.html", report / "report.md"], "")  # the same, written anew
        assert proxy.count("PUT", "report.html") == 1
        assert proxy.count("PUT", "report.md") == 2
        (problem,) = tracker.problems
        assert "MLflow lacks file report/report.html of the study: 413" in problem
        reported("x" * 99)
        tracker.finish_study()
        assert tracker.problems == []


def test_a_refusal_is_of_one_store_alone(tmp_path: Path) -> None:
    key = ("run", "coarse", "0123")
    Refusals(tmp_path, "http://one", "digits").add(key, "model", "digest", "413")
    assert [*Refusals(tmp_path, "http://two", "digits")] == [*Refusals(tmp_path, "http://one", "other")] == []
    assert Refusals(tmp_path, "http://one", "digits").standing(key, "model", "digest") is not None
    assert Refusals(tmp_path, "http://one", "digits").standing(key, "model", "another") is None
    kept = Refusals(tmp_path, "http://one", "digits")
    for number in range(7):
        kept.add(("run", "coarse", f"run{number}"), "model", "digest", "413")
    kept.add(("study", "", ""), "report/report.html", "digest", "413")
    assert grouped(kept) == [
        "MLflow lacks model of 8 runs (0123, run0, run1, run2, run3, …): 413; difair sync --retry tries it again",
        "MLflow lacks file report/report.html of the study: 413; difair sync --retry tries it again",
    ]
    for torn in (tmp_path / "mlflow.refused").iterdir():
        torn.write_text("{")
    assert [*Refusals(tmp_path, "http://one", "digits")] == []


@pytest.mark.parametrize(
    ("reply", "part"),
    [
        (Reply(status=301, headers={"Location": "https://new.site.org/api/2.0/mlflow/experiments/get-by-name"}),
         "use tracking_uri=https://new.site.org"),
        (Reply(status=200, body="<h1>Sign in</h1>"), "'Sign in'"),
        (Reply(status=200, body='{"experiments": []}'), "not an answer of MLflow"),
        (Reply(status=403, body="<h1>Blocked</h1>"), "'Blocked'"),
        (Reply(status=429, headers={"Retry-After": "3600"}), "asks for a pause of 3600 s"),
        (Reply(status=503, headers={"Retry-After": "3600"}), "asks for a pause of 3600 s"),
    ],
    ids=["moved", "login", "foreign", "blocked", "too many", "maintenance"],
)  # fmt: skip
def test_a_server_that_is_none_is_refused_after_one_question(tmp_path: Path, reply: Reply, part: str) -> None:
    put_attempt((place := created(tmp_path)).path, 1, started=1.0)
    with running_proxy(rule=lambda _: reply) as proxy:
        tracker = shipper(tmp_path, proxy)
        with pytest.raises(Failure) as told:
            ship(tracker, [place])
        assert len(proxy.seen) == 1
    assert part in str(told.value)
    assert "nothing is lost: difair sync ships it later" in str(told.value)
    assert "Another account" not in str(told.value)


def test_a_short_pause_is_made_as_the_server_asks(tmp_path: Path, server: MlflowServer) -> None:
    put_attempt((place := created(tmp_path)).path, 1, started=1.0)
    first = iter([Reply(status=429, headers={"Retry-After": "0"})])
    with running_proxy(server.uri, lambda _: next(first, None)) as proxy:
        ship(shipper(tmp_path, proxy), [place])
    assert shown(tmp_path, server).statuses() != []


def test_no_request_waits_for_as_long_as_a_server_asks(
    tmp_path: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    put_attempt((place := created(tmp_path)).path, 1, started=1.0)
    put_points(place, [1])
    with running_proxy(server.uri) as proxy:
        tracker = ship(shipper(tmp_path, proxy), [place])
        put_points(place, [2])
        proxy.rule = lambda _: Reply(status=429, headers={"Retry-After": "3600"})
        with pytest.raises(Failure, match="it is busy .429"):
            ship(tracker, [place])
    assert waits
    assert max(waits) <= 5
