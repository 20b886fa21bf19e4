"""A damaged file of a run or study is named by the commands that read it, with what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.files import write_atomically
from difair_hpc.runs.attempts import set_kind
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.sweep.ledger import Trial, ledger
from difair_hpc.train.sealed import footer
from tests.cli.made import created, files, half_finished
from tests.cli.test_status import said
from tests.runs.shown import put_points
from tests.sweep.made import finish


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def whole(root: Path) -> Path:
    """Return a finished run's folder with every file that one may have."""
    folder = created(root)
    put_points(folder, [1, 2])
    finish(root, folder.signature)
    write_mark(folder.path, Mark(by="difair hold"))
    set_kind(folder.path, 1, "finished", "its own word")
    (folder.path / "attempts" / "0001.beat.json").write_text(json.dumps({"time": 1.0, "epoch": 2}))
    (folder.path / "checkpoint-0001-000002-000000.pt").write_bytes(b"state" + footer(b"state"))
    return folder.path


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def foreign(path: Path) -> None:
    path.write_text("[1, 2]\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("hurt", [torn, foreign, empty])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("result.json", "difair resume RUN writes it anew from the last checkpoint"),
        ("spec.json", "and the run starts from its beginning"),
        ("mark.json", "it holds nothing back"),
        ("attempts/0001.json", "as if it had never been written"),
        ("attempts/0001.end.json", "as if it had never been written"),
        ("attempts/0001.beat.json", "as if it had never been written"),
        ("attempts/0001.kind.json", "as if it had never been written"),
        ("checkpoint-0001-000002-000000.pt", "the run goes on from an older checkpoint"),
        ("metrics.jsonl", "passed over: 1 line"),
    ],
)
def test_why_names_every_damaged_file_of_a_run(
    capsys: pytest.CaptureFixture[str], here: Path, name: str, advice: str, hurt: Callable[[Path], None]
) -> None:
    folder = whole(here / "o")
    assert "damaged:" not in said(capsys, "why", folder.name, "root=o")
    hurt(folder / name)
    code = main(["why", folder.name, "root=o"])
    out, err = capsys.readouterr()
    if (name, hurt) == ("metrics.jsonl", empty):  # which is what a run without an evaluation leaves
        return
    if name == "spec.json":
        assert code == 2
        assert f"{folder / name} is" in err
        return
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("damaged: ")]
    assert line.startswith(f"damaged: {folder / name}: ")
    assert advice.replace("RUN", folder.name) in line


def test_a_damaged_result_is_what_the_state_and_the_next_step_speak_of(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    runs = half_finished(here / "o")
    path = run_folder(here / "o", runs["two"]).path / "result.json"
    torn(path)
    out = said(capsys, "why", runs["two"], "root=o")
    assert f"state: dead ({path} is damaged)" in out
    assert f"next: the next tick submits it: {path} is damaged; it goes on from its last checkpoint" in out
    assert "without an exit record" not in out
    assert f"{path} is damaged" in said(capsys, "status", "root=o")
    assert main(["report", "mini", "root=o"]) == 0
    assert f"runs/{runs['two']}/result.json" in (here / "o/studies/mini/report/report.md").read_text()


@pytest.mark.parametrize("hurt", [torn, foreign, empty])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("study.json", "repeat its difair sweep command"),
        ("request.json", "repeat its difair sweep command"),
        ("mark.json", "it holds nothing back"),
        ("nodes.json", "bad nodes"),
        ("shown.json", "difair report writes it anew"),
        ("ticks.json", "carrying the study on"),
        ("waves/0001.json", "which runs its jobs were for"),
    ],
)
def test_status_names_every_damaged_file_of_a_study(
    capsys: pytest.CaptureFixture[str], here: Path, name: str, part: str, hurt: Callable[[Path], None]
) -> None:
    half_finished(here / "o")
    study = here / "o/studies/mini"
    (study / "waves").mkdir()
    if name != "study.json":
        write_atomically(study / name, json.dumps({"some": "words that are long enough"}))
    hurt(study / name)
    before = files(here / "o")
    out = said(capsys, "status", "root=o")
    assert f"studies/mini/{name} is damaged" in out
    assert part in out
    assert files(here / "o") == before


def test_status_counts_the_lines_of_a_ledger_that_are_passed_over(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    half_finished(here / "o")
    book = ledger(here / "o", "mini")
    book.add("coarse-123456", *(Trial(number=n, parameters={}, signature="a") for n in range(3)))
    assert "passed over" not in said(capsys, "status", "root=o")
    torn(book.path / "coarse-123456.jsonl")
    assert "studies/mini/coarse-123456.jsonl: 1 damaged line is passed over" in said(capsys, "status", "root=o")


def test_resume_names_the_request_that_it_cannot_read(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    half_finished(here / "o")
    assert main(["resume", "mini", "root=o"]) == 2
    assert "request.json is missing); repeat its difair sweep command" in capsys.readouterr().err
    foreign(here / "o/studies/mini/request.json")
    assert main(["resume", "mini", "root=o"]) == 2
    assert f"{here}/o/studies/mini/request.json is damaged)" in capsys.readouterr().err
