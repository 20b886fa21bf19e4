"""An output root that somebody names and that is not there is a mistake, not an empty root."""

from pathlib import Path

import pytest

from difair_hpc.cli import main

READING = [
    ["status"], ["report"], ["sync"], ["sync", "--rebuild"], ["ui"], ["why", "1"], ["logs", "1"], ["logs", "-F", "1"],
    ["resume"], ["resume", "-n"], ["hold", "1"], ["release", "1"], ["cancel", "state=new"], ["status", "-f", "json"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", READING, ids=" ".join)
def test_a_root_that_does_not_exist_is_named(verb: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "root=typo"]) == 2
    assert f"root=typo: there is nothing in {here}/typo, which does not exist" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_root_that_is_a_file_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "typo").write_text("")
    assert main(["status", "root=typo"]) == 2
    assert f"{here}/typo, which is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("named", [False, True])
def test_where_nobody_types_a_root_there_is_nothing_yet(
    named: bool, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if named:  # as in a shell's settings, before the first study
        monkeypatch.setenv("DIFAIR_ROOT", f"{here}/later")
    assert main(["status"]) == 0
    assert "difair sweep digits starts a study" in capsys.readouterr().out
