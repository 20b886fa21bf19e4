"""A user whom the machine knows by number alone: a container's, or one of a node without the directory of users."""

import getpass
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from difair_hpc.runs.server import check_credentials
from difair_hpc.sweep.site import submit_limits
from difair_hpc.user import NO_HOME, complete_environment, user_name
from tests.cli.made import TINY_WORDS, environment

NAMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")
UNKNOWN = """
import pwd
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = getpwuid
"""


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine know no user."""

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.mark.usefixtures("unknown")
def test_an_unknown_user_has_a_number_for_a_name_and_no_home() -> None:
    assert user_name() == str(os.getuid())
    complete_environment()
    assert getpass.getuser() == str(os.getuid())
    assert Path.home() == Path(NO_HOME)


def test_what_is_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USER", "me")
    monkeypatch.delenv("LOGNAME", raising=False)
    before = dict(os.environ)
    complete_environment()
    assert dict(os.environ) == before


@pytest.mark.usefixtures("unknown")
def test_slurm_is_asked_about_the_number() -> None:
    asked: list[list[str]] = []
    submit_limits(lambda words: asked.append([*words]) or "", account=None, qos=None)  # type: ignore[func-returns-value]
    assert any(str(os.getuid()) in words for words in asked)


@pytest.mark.usefixtures("unknown")
def test_who_has_no_home_has_no_file_of_passwords_there() -> None:
    check_credentials("http://127.0.0.1:1")


@pytest.mark.slow
def test_an_unknown_user_trains_and_has_it_in_mlflow(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(UNKNOWN)
    known = environment(PYTHONPATH=str(tmp_path), TORCHINDUCTOR_CACHE_DIR="")
    without = {name: value for name, value in known.items() if name not in (*NAMES, "TORCHINDUCTOR_CACHE_DIR")}
    words = [sys.executable, "-m", "difair_hpc", "train", *TINY_WORDS, "protocol.epochs=1", "execution.threads=1"]
    done = subprocess.run(words, cwd=tmp_path, env=without, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (tmp_path / "outputs/mlflow.db").exists()
