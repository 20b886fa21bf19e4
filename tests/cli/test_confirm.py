"""A costly study begins after a yes, and `-n` says what it costs."""

import io
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.cli.preview import confirm
from difair_hpc.cli.screen import console


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_preview_adds_up_gpu_hours(capsys: pytest.CaptureFixture[str]) -> None:
    main(["sweep", "paper", "cluster=v100", "-n"])
    out = capsys.readouterr().out
    assert "stage fine (grid): 15 runs of 600 epochs" in out
    assert "about 330 GPU-hours if nothing were done yet, at gpu_hours_per_600_epochs=2" in out
    assert "more than ask_above_gpu_hours=100: it asks before it begins, and -y answers yes" in out
    assert main(["sweep", "digits", "-n"]) == 0
    assert "GPU-hours" not in capsys.readouterr().out, "local processes without a GPU cost none"


def test_where_nobody_can_be_asked_a_costly_study_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert main(["sweep", "digits", "cluster=v100", "cluster.ask_above_gpu_hours=0.1", "root=o"]) == 2
    err = capsys.readouterr().err
    assert "study digits may need 2 GPU-hours" in err
    assert "repeat with -y" in err
    assert not (here / "o/studies/digits/waves").exists()


@pytest.mark.parametrize(("answer", "begins"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False)])
def test_a_terminal_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, *, begins: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    study, profile = config.study("paper", {}), config.profile("v100")
    assert confirm(study, profile, console()) is begins
    assert "study paper may need 330 GPU-hours" in capsys.readouterr().out


def test_a_cheap_study_is_not_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert confirm(config.study("digits", {}), config.profile("v100"), console())
    assert capsys.readouterr().out == ""


def test_the_preview_counts_trainings_and_says_which_tasks_share_one(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "sweeps").mkdir()
    stage = "{search: final, benchmarks: [cifar10], methods: [cac], splits: [0, 1, 2], base: {protocol: paper}}"
    (here / "sweeps/shared.yaml").write_text(f"study: shared\nstages:\n  final: {stage}\n")
    main(["sweep", "shared", "-n"])
    out = capsys.readouterr().out
    assert "stage final (final): 2 runs of 600 epochs" in out
    assert out.count("the same training") == 1
    assert "2 runs are certain from the start" in out
