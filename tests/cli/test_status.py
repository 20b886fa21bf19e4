"""`difair status`, `difair report` and `difair sweep -n`: they read, and write nothing but the report."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.cli.clusters import Request, keep_request
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.profile import Profile
from tests.cli.made import created, described, environment, files, half_finished
from tests.sweep.made import finish


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out, "no escape codes where nobody looks at a terminal"
    return out


def test_an_empty_root_says_how_to_start(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert said(capsys, "status") == f"no runs in {here / 'outputs'}; difair sweep digits starts a study\n"
    assert json.loads(said(capsys, "status", "-f", "json")) == []
    assert list(here.iterdir()) == [], "reading writes nothing"


def test_every_run_of_a_study_and_those_of_none(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    runs = half_finished(here / "o")
    single = created(here / "o", seed=9)
    before = files(here)
    out = said(capsys, "status", "root=o")
    lines = out.splitlines()
    assert lines[0] == "mini / coarse: 2 of 2 done, 4 of 4 epochs"
    assert lines[1].split()[:3] == ["#", "run", "what"]
    assert sum(runs["six"] in line for line in lines) == 2, "a run of two stages stands in both"
    (alpha2,) = [line for line in lines if runs["two"] in line]
    assert alpha2.split() == ["1", runs["two"], "alpha=2", "done", "2/2", "0.9100", "0.8000", "2s"]
    (alone,) = [line for line in lines if single.signature in line]
    assert "train / single: 0 of 1 done, 0 of 2 epochs" in lines
    assert "seed=9" in alone
    assert lines[-1].startswith("3 done, 2 new, 1 failed; ")
    (bad,) = [line for line in lines if runs["bad"] in line]
    assert bad.endswith("ValueError: [red]made up[/red]")
    assert files(here) == before


def test_a_run_that_nobody_can_read_is_named_and_the_others_are_shown(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    sound, torn = created(here / "o", seed=8), created(here / "o", seed=9)
    (torn.path / "spec.json").write_text('{"schema": 1')
    lines = said(capsys, "status", "root=o").splitlines()
    assert lines[0] == "train / single: 0 of 1 done, 0 of 2 epochs"
    assert sum(sound.signature in line for line in lines) == 1
    (left_out,) = [line for line in lines if torn.signature in line]
    assert left_out.startswith(f"train: left out: {torn.path}/spec.json is damaged; move {torn.path} away")


def test_status_as_json(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    runs = half_finished(here / "o")
    created(here / "o", seed=9)
    rows = json.loads(said(capsys, "status", "mini", "root=o", "-f", "json"))
    assert len(rows) == 6, "the study's own only"
    assert rows[1] == {
        "index": 2,
        "study": "mini",
        "stage": "coarse",
        "signature": runs["six"],
        "parameters": {"method.alpha": 6},
        "state": "done",
        "note": "",
        "job": "",
        "node": "",
        "epoch": 2,
        "epochs": 2,
        "closed_set_accuracy": 0.95,
        "occupancy": 0.8,
        "attempts": 1,
        "heard": None,
        "seconds": 1.5,
        "seconds_left": 0.0,
        "next": "nothing: it is done",
    }
    assert rows[4]["note"] == "ValueError: [red]made up[/red]"


def test_a_run_at_work_is_shown_as_running(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    folder = created(here / "o")
    attempt = Attempt(folder.path, {})
    attempt.at(epoch=1, step=3, steps=7, accuracy=0.5)
    with attempt:
        (row,) = json.loads(said(capsys, "status", "root=o", "-f", "json"))
    assert (row["state"], row["epoch"], row["closed_set_accuracy"]) == ("running", 1, 0.5)


def test_the_index_of_a_run_is_the_same_whatever_is_asked_for(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    half_finished(here / "o")
    run = created(here / "o", seed=5)
    trials = [{"number": 0, "signature": run.signature, "parameters": {"seed": 5}}]
    stage = {"name": "only", "search": "final", "planned": 1, "complete": False, "trials": trials}
    described(here / "o", "other", [stage | {"chosen": [], "reasons": []}])
    (row,) = json.loads(said(capsys, "status", "other", "root=o", "-f", "json"))
    everything = json.loads(said(capsys, "status", "root=o", "-f", "json"))
    assert row["index"] == 7
    assert [one["index"] for one in everything] == [1, 2, 3, 4, 5, 6, 7]
    assert everything[6]["signature"] == run.signature
    assert run.signature in said(capsys, "why", "7", "root=o")


def test_only_what_is_asked_for(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    runs = half_finished(here / "o")
    out = said(capsys, "status", "root=o", "state=failed")
    assert runs["bad"] in out
    assert runs["two"] not in out
    (row,) = json.loads(said(capsys, "status", "root=o", "alpha=2", "-f", "json"))
    assert row["signature"] == runs["two"]


def test_a_thousand_finished_runs_are_all_listed(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    signatures = thousand(here / "o")
    out = said(capsys, "status", "root=o")
    assert all(signature in out for signature in signatures)
    assert out.endswith("1000 done; 25m00s of work\n")


def thousand(root: Path) -> list[str]:
    """Write a thousand finished runs of one study, copied from one."""
    first = created(root)
    finish(root, first.signature)
    text = {name: (first.path / name).read_text() for name in ("spec.json", "result.json")}
    signatures = [first.signature, *(f"{number:012x}" for number in range(999))]
    for signature in signatures[1:]:
        path = run_folder(root, signature).path
        path.mkdir()
        for name, content in text.items():
            (path / name).write_text(content)
    trials = [{"number": n, "signature": s, "parameters": {"seed": n}} for n, s in enumerate(signatures)]
    stage = {"name": "all", "search": "final", "planned": 1000, "complete": True, "trials": trials}
    described(root, "big", [stage | {"chosen": [], "reasons": []}])
    return signatures


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        ("['status']", {"torch", "mlflow", "optuna", "hydra", "matplotlib", "sklearn"}),
        ("['status', 'root=o']", {"torch", "mlflow", "optuna", "matplotlib", "sklearn"}),
        ("['why', '1', 'root=o']", {"torch", "mlflow", "optuna", "matplotlib", "sklearn"}),
        ("['--help']", {"torch", "mlflow", "optuna", "hydra", "matplotlib", "sklearn", "rich", "yaml"}),
        ("['sweep', 'digits', '-n']", {"torch", "mlflow", "optuna", "matplotlib", "submitit"}),
    ],
)
def test_what_a_quick_command_does_not_import(here: Path, words: str, heavy: set[str]) -> None:
    if "root=o" in words and "sweep" not in words:
        half_finished(here / "o")
        request = Request(name="mini", words=(), folder=str(here), profile=config.profile("local"))
        keep_request(here / "o", "mini", request)
    code = (
        "import sys; from difair_hpc.cli import main\n"
        f"try: main({words})\nexcept SystemExit: pass\n"
        f"sys.stderr.write(' '.join(sorted({heavy!r} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == "", "it read what is there, and imported nothing heavy"


def test_a_dry_run_of_a_sweep_starts_and_writes_nothing(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    out = said(capsys, "sweep", "digits", "-n", "root=o")
    assert out.count(" epochs  new\n") == 9
    assert "alpha=2 radius=6" in out
    assert out.count("follows from what an earlier stage chooses") == 2
    assert out.endswith("9 runs are certain from the start; nothing was started\n")
    assert list(here.iterdir()) == []


def test_the_report_of_a_half_finished_study(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    half_finished(here / "o")
    out = said(capsys, "report", "root=o")
    assert "DIFAIR" in out
    assert str(here / "o/studies/mini/report/report.md") in out
    text = (here / "o/studies/mini/report/report.md").read_text()
    assert "The study is not finished" in text
    assert "Six is best." in text
    tables = json.loads(said(capsys, "report", "mini", "root=o", "-f", "json"))
    assert {"table1", "table2"} <= set(tables)


@pytest.mark.parametrize("edit", [lambda text: text.replace("0.9", "9.9"), lambda text: text[:50]])
def test_a_result_that_was_edited_is_left_out_of_the_report_and_named(
    capsys: pytest.CaptureFixture[str], here: Path, edit: Callable[[str], str]
) -> None:
    runs = half_finished(here / "o")
    path = run_folder(here / "o", runs["six"]).path / "result.json"
    path.write_text(edit(path.read_text()))
    out = said(capsys, "report", "root=o")
    assert f"Left out: runs/{runs['six']}/result.json" in out
    assert runs["six"] in (here / "o/studies/mini/report/grid_coarse.md").read_text().partition("Left out")[2]


def test_the_data_sets_as_table_and_json(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert "difair data get mnist" in said(capsys, "data", "data_root=d")
    rows = json.loads(said(capsys, "data", "data_root=d", "-f", "json"))
    assert {row["name"]: row["complete"] for row in rows}["digits"] is True
    assert list(here.iterdir()) == []


def test_fewer_threads_than_the_profile_asks_for_are_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = here / "outputs"
    signature = half_finished(root)["bad"]

    def ask(threads: int | None) -> None:
        profile = Profile(name="local", threads=threads)
        keep_request(root, "mini", Request(name="mini", words=(), folder=str(here), profile=profile))

    ask(4)
    record = run_folder(root, signature).path / "attempts/0001.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "hardware": {"threads": 2}}))
    words = "2 of the 4 CPU threads that the profile asks for"
    assert f"mini: 1 run has {words}: they may use no more CPUs" in said(capsys, "status")
    assert f"with {words}" in said(capsys, "why", signature)
    for enough in (2, None):
        ask(enough)
        assert "CPU threads" not in said(capsys, "status") + said(capsys, "why", signature)
