"""`difair why`, `logs`, `hold`, `release`, `cancel` and `resume`: on run folders as real runs leave them."""

import json
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.config import build_run
from difair_hpc.runs.attempts import Attempt, set_kind
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, read_mark
from difair_hpc.runs.place import Place
from tests.cli.made import Running, created, files, half_finished, until
from tests.cli.test_status import said
from tests.sweep.made import fail, results


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    return capsys.readouterr().err


def test_why_tells_how_it_ended_and_what_happens_next(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    runs = half_finished(here / "o")
    folder = run_folder(here / "o", runs["bad"])
    (here / "o/jobs").mkdir()
    (here / "o/jobs/77_0_log.err").write_text("of another attempt\nTraceback [bold]…\n")
    place = {"job": "77", "node": "n1", "log": "77_0_log", "offset": 19, "restart": 0, "ends": None}
    second = Attempt(folder.path, {"place": place})
    second.at(epoch=1, step=2, steps=7)
    second.end("failed", message="KeyError: 'x'", trace='File "a.py", line 7, in b\nKeyError')
    set_kind(folder.path, 1, "failed", "ValueError: made up")
    before = files(here / "o")
    out = said(capsys, "why", runs["bad"][:6], "root=o")
    assert files(here / "o") == before, "reading writes nothing"
    for part in (
        "state: failed (KeyError: 'x')",
        "attempt 1",
        "failed: it ended with an exception [ValueError: made up]",
        "attempt 2  n1 job 77",
        "to epoch 1 and 2 steps; failed",
        'the last error:\nFile "a.py", line 7, in b',
        f"the end of {here}/o/jobs/77_0_log.err:\n  Traceback [bold]…\n",
        "next: the next tick submits it: attempt 2 failed (KeyError: 'x'); it may be tried again",
        "by hand: difair train benchmark=digits method=cross_entropy protocol=short benchmark.train_per_class=10 "
        "protocol.epochs=2 protocol.warmup_epochs=0.0 protocol.batch_size=16 root=",
    ):
        assert part in out
    assert "of another attempt" not in out


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"method": "cac", "split": 3, "seed": 7},
        {"method.alpha": 2.5, "method.radius_coefficient": 0.45, "data.verify": False},
        {"benchmark": "mnist", "protocol": "paper", "protocol.epochs": 20, "protocol.weight_decay_form": "coupled"},
        {"protocol.augment": "randaugment", "protocol.augment_exclude": ["Rotate", "Cutout"]},
        {"method": "difair_std", "protocol.warmup_epochs": 0.5, "network.dropout": "channel"},
    ],
)
def test_the_words_of_a_run_make_the_same_run(keys: dict[str, object]) -> None:
    base = {"benchmark": "digits", "method": "difair", "protocol": "short", "protocol.epochs": 2}
    spec = build_run(base, keys)
    again = config.run(config.parse(config.words_of(spec)))
    assert again.signature == spec.signature


def test_logs_are_shown_by_attempt(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    folder = created(here / "o")
    assert "has printed nothing (new)" in said(capsys, "logs", folder.signature, "root=o")
    (here / "o/jobs").mkdir()
    log = here / "o/jobs/77_0_log.err"
    for number, text in enumerate(("first\n", "second\n")):
        offset = log.stat().st_size if log.exists() else 0
        place = Place(job="77", node="n1", log="77_0_log", offset=offset)
        attempt = Attempt(folder.path, {"place": {"job": place.job, "log": place.log, "offset": place.offset}})
        with log.open("a") as file:
            file.write(text)
        attempt.end("stopped")
        assert attempt.number == number + 1
    out = said(capsys, "logs", folder.signature, "root=o")
    assert out == f"==> attempt 1: {log}\nfirst\n==> attempt 2: {log}\nsecond\n"


def test_held_cancelled_released_and_resumed(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    runs = half_finished(here / "o")
    new, bad = (run_folder(here / "o", runs[name]).path for name in ("new", "bad"))
    assert "new -> would be held" in said(capsys, "hold", "state=new", "root=o", "-n")
    assert read_mark(new) == Mark()
    assert "1 run; 0 over and left alone" in said(capsys, "hold", runs["new"], "root=o")
    assert (read_mark(new).hold, read_mark(new).by) == ("held", "difair hold")
    (row,) = json.loads(said(capsys, "status", "root=o", "state=held", "-f", "json"))
    assert row["next"] == f"nothing: it is held; difair release {runs['new']} lets it go on"
    said(capsys, "release", runs["new"], "root=o")
    assert read_mark(new).hold == ""
    said(capsys, "cancel", "mini", "root=o")
    assert read_mark(new).hold == read_mark(bad).hold == "cancelled"
    assert read_mark(run_folder(here / "o", runs["six"]).path) == Mark(), "what is done is left alone"
    assert read_mark(here / "o/studies/mini").hold == "cancelled", "nothing more of it is submitted"
    assert "mini: nothing more of it is submitted: it was cancelled" in said(capsys, "status", "root=o")
    out = said(capsys, "resume", "mini", "root=o", "-n")
    assert "2 runs would go on" in out
    assert read_mark(bad).hold == "cancelled"
    err = refused(capsys, "resume", "mini", "root=o")  # made up: no command ever asked for it
    assert "repeat its difair sweep command" in err
    assert (read_mark(bad).hold, read_mark(bad).forgiven) == ("", 1)
    assert read_mark(here / "o/studies/mini").hold == ""


def test_words_that_mean_no_run_or_too_many(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    half_finished(here / "o")
    assert "say which runs" in refused(capsys, "cancel", "root=o")
    assert "zzz is no study, index, job" in refused(capsys, "why", "zzz", "root=o")
    assert "these are 3 runs, say which one: " in refused(capsys, "why", "state=done", "root=o")
    assert "there is nothing in" in refused(capsys, "resume", "root=empty")


def test_a_failed_single_run_is_resumed_in_place(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    folder = created(here / "o", **{"protocol.epochs": 1, "protocol.warmup_epochs": 0})
    fail(here / "o", folder.signature)
    assert main(["resume", folder.signature, "root=o", "tracking_uri=none"]) == 0
    assert "failed at epoch 0" in capsys.readouterr().out
    assert folder.result() is not None


@pytest.mark.slow
def test_a_run_at_work_leaves_when_it_is_held_and_the_study_waits(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "sweeps").mkdir()
    (here / "sweeps/one.yaml").write_text(
        "stages: {final: {search: final, base: {protocol: short, protocol.epochs: 400},"
        " benchmarks: [digits], methods: [cac], splits: [0]}}"
    )
    with Running("sweep", "one", "root=o", "cluster.threads=1", "tracking_uri=none", cwd=here) as sweep:
        until(lambda: list(here.glob("o/runs/*/attempts/*.beat.json")), running=sweep)
        (path,) = here.glob("o/runs/*")
        until(lambda: run_folder(here / "o", path.name).state().step, running=sweep)
        said(capsys, "hold", path.name, "root=o")
        assert sweep.process.wait() == 1, sweep.text()
    assert "study one waits: 1 run is held" in sweep.text()
    state = run_folder(here / "o", path.name).state()
    assert (state.status, state.hold) == ("stopped", "held")
    assert list(path.glob("checkpoint-*"))
    assert results(here / "o") == {}
