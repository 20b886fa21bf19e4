"""`difair sweep --detach` where SLURM does not answer, or takes no more: what it says, and its exit code."""

import json
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from tests.cli.made import say, set_up_site

SWEEP = """
stages: {final: {search: final, base: {protocol: short, protocol.epochs: 2},
  benchmarks: [digits], methods: [cac], splits: [0]}}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a sweep, on a site whose commands the test writes."""
    set_up_site(tmp_path, monkeypatch, SWEEP)
    return tmp_path


WORDS = ("sweep", "one", "cluster=v100", "tracking_uri=none", "--detach")


def test_a_first_wave_is_said_to_carry_the_study_on(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(site, "sbatch", "echo 4711")
    assert main(list(WORDS)) == 0
    out = capsys.readouterr().out
    assert "0 running, 0 left, 1 starting" in out
    assert "jobs carry the study on" in out


def test_where_slurm_does_not_answer_nothing_carries_it_on(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(site, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert main(list(WORDS)) == 1
    out, err = capsys.readouterr()
    assert out.count("Unable to contact slurm controller") == 1
    assert err == (
        "difair: nothing was submitted: repeat the command when SLURM answers "
        "(squeue failed: Unable to contact slurm controller).\n"
    )


def test_a_limit_is_no_failure(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(site, "sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    assert main(list(WORDS)) == 0
    assert "AssocMaxSubmitJobLimit" in capsys.readouterr().out


def test_what_slurm_refuses_is_one_message(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(site, "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    assert main(list(WORDS)) == 1
    assert "difair: sbatch failed: sbatch: error: invalid partition specified: x" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:::mlflow")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jobs_are_told_of_a_server_by_whichever_way_it_was_named_and_need_it_not(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(site, "sbatch", "echo 4711")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # nobody listens there
    assert main(["sweep", "one", "cluster=v100", "--detach"]) == 0
    out = capsys.readouterr().out
    assert out.count("warning: ") == out.count("the MLflow store http://127.0.0.1:1 cannot be used") == 1
    assert "nothing is lost: difair sync ships it later" in out
    assert "jobs carry the study on" in out
    wave = json.loads((site / "outputs/studies/one/waves/0001.json").read_text())
    assert wave["server"] == "http://127.0.0.1:1"
    assert config.parse(wave["again"][3:])["tracking_uri"] == "http://127.0.0.1:1"


def test_jobs_are_not_told_of_a_file(site: Path) -> None:
    say(site, "sbatch", "echo 4711")
    assert main(list(WORDS)) == 0
    wave = json.loads((site / "outputs/studies/one/waves/0001.json").read_text())
    assert wave["server"] == ""
    assert config.parse(wave["again"][3:])["tracking_uri"] == "none"


def test_jobs_are_told_what_only_the_environment_of_the_command_has_said(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(site, "sbatch", "echo 4711")
    for name, value in {"DEVICE": "cpu", "ROOT": "an, output (root)", "DATA": "images"}.items():
        monkeypatch.setenv(f"DIFAIR_{name}", value)
    assert main(["sweep", "one", "cluster=v100", "cluster.device=cpu", "tracking_uri=none", "--detach"]) == 0
    wave = json.loads((site / "an, output (root)/studies/one/waves/0001.json").read_text())
    said = config.parse(wave["again"][3:])
    assert said["cluster.device"] == "cpu"
    assert said["root"] == str(site / "an, output (root)")
    assert said["data_root"] == str(site / "images")
