"""What is wrong with a folder, a file or standard output is said in a line, and is no internal error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.cli.last_door import last_word
from difair_hpc.errors import InvalidValue
from tests.cli.made import half_finished


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", [["status"], ["sweep", "digits", "-n"], ["train", "-n"], ["data"]])
def test_a_working_folder_that_is_gone(here: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    gone = here / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert main(words) == 2
    assert (
        capsys.readouterr().err
        == "difair: the current folder is gone; go to another one, and repeat the command there\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
@pytest.mark.slow
def test_a_full_disk_under_what_is_printed(here: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "difair_hpc", "status"]
        done = subprocess.run(command, cwd=here, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("difair: what is printed cannot be written (No space left on device)")
    assert "internal error" not in done.stderr


def test_a_file_that_belongs_to_somebody_else() -> None:
    said, code = last_word(PermissionError(13, "Permission denied", "/a/b"))
    assert (said, code) == ("/a/b: Permission denied; check who owns it (--debug shows where)", 1)


def test_studies_that_may_not_be_listed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half_finished(here / "outputs")

    def refuse(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert main(["status"]) == 1
    assert "outputs/studies cannot be read: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["study.json", "request.json"])
def test_nobody_waits_for_the_other_end_of_a_pipe(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    half_finished(here / "outputs")
    path = here / "outputs/studies/mini" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    (here / "sweeps").mkdir()
    os.mkfifo(here / "sweeps/pipe.yaml")
    main(["status"])
    assert main(["sweep"]) == 0
    assert "pipe" not in capsys.readouterr().out


@pytest.mark.parametrize("key", ["root", "data_root"])
def test_an_empty_variable_in_a_word_is_no_folder(key: str) -> None:
    with pytest.raises(InvalidValue, match="Is the variable empty"):
        config.settings_only([f"{key}="])


def test_where_threads_of_a_study_are_set_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "digits", "-n", "execution.threads=64"]) == 2
    assert "cluster.threads" in capsys.readouterr().err
