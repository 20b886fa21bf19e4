"""A second command that is refused, because another works on the study or the run, changes nothing on disk."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.runs.attempts import Attempt
from difair_hpc.runs.marks import Mark, write_mark
from difair_hpc.sweep.lease import lease
from tests.cli.made import TINY_WORDS, created, files, say, set_up_site
from tests.cli.test_detach import SWEEP


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    set_up_site(tmp_path, monkeypatch, SWEEP)
    say(tmp_path, "sbatch", "echo 4711")
    return tmp_path


def known(root: Path) -> Mapping[Path, bytes]:
    """Return what an output root holds; a frozen copy that nobody executes, and beats of the holder, do not count."""
    kept = files(root)
    return {path: data for path, data in kept.items() if "code" not in path.parts and ".beat." not in path.name}


@pytest.mark.parametrize("second", [("cluster=local",), ("cluster=v100", "protocol.epochs=3"), ("cluster=local", "-y")])
def test_a_study_keeps_the_request_of_whoever_drives_it(site: Path, second: tuple[str, ...]) -> None:
    assert main(["sweep", "one", "cluster=v100", "tracking_uri=none", "--detach"]) == 0
    study = site / "outputs/studies/one"
    with lease(study, attended=True):
        before = known(site / "outputs")
        assert study / "request.json" in before
        assert main(["sweep", "one", "tracking_uri=none", *second]) == 2
        assert known(site / "outputs") == before


def test_a_detached_command_whose_turn_it_is_not_keeps_the_request_too(site: Path) -> None:
    words = ["sweep", "one", "cluster=v100", "tracking_uri=none", "--detach"]
    assert main(words) == 0
    study = site / "outputs/studies/one"
    with lease(study, attended=True) as held:
        before = (study / "request.json").read_bytes()
        assert main([*words, "protocol.epochs=3"]) == 0
        assert (study / "request.json").read_bytes() == before
        held.end("finished")
    assert main([*words, "protocol.epochs=3"]) == 0
    assert b"protocol.epochs=3" in (study / "request.json").read_bytes()


def test_a_run_at_work_keeps_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = created(tmp_path / "outputs")
    with Attempt(folder.path, {}):
        write_mark(folder.path, Mark(hold="pruned", by="a stage"))
        before = known(tmp_path / "outputs")
        assert main(["train", *TINY_WORDS, "tracking_uri=none"]) == 2
        assert known(tmp_path / "outputs") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file to somebody else")
def test_a_study_that_somebody_else_asked_for_is_left_to_them(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What they asked for has lines of shell in it, which would be executed as this user."""
    assert main(["sweep", "one", "cluster=v100", "tracking_uri=none", "--detach"]) == 0
    os.chown(site / "outputs/studies/one/request.json", 4711, -1)
    before = known(site / "outputs")
    assert main(["resume", "one"]) == 1
    assert "study one is left to 4711, who asked for it" in capsys.readouterr().err
    assert known(site / "outputs") == before
