"""What the services' command refuses before it starts anything."""

import json
import os
import platform
import pwd
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.services.made import Services
from tests.services.python import everybodys_python

psycopg = pytest.importorskip("psycopg")


@pytest.fixture
def services(tmp_path: Path) -> Services:
    (tmp_path / "s").mkdir(mode=0o700)
    return Services(base=tmp_path)


def refused(services: Services, *words: str, **environment: str) -> str:
    done = services.control(*words, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (services.folder / "postgres").exists()
    assert not services.processes()
    return done.stderr


def test_two_machines_never_run_one_database(services: Services) -> None:
    (services.folder / "node.json").write_text(json.dumps({"node": "node-7", "boot": "b", "job": "12"}))
    said = refused(services, "start")
    for part in (str(services.folder), "node-7", "start --takeover"):
        assert part in said
    assert "node-7" in refused(services, "start", SLURM_JOB_ID="13")
    assert refused(services, "stop") == "the services were started on node-7: stop them there.\n"
    assert json.loads((services.folder / "node.json").read_text())["node"] == "node-7" != platform.node()


def test_passwords_that_others_can_read_are_refused(services: Services) -> None:
    path = services.folder / "passwords.json"
    path.write_text("{}")
    path.chmod(0o644)
    assert f"(mode 644): chmod 600 {path}" in refused(services, "start")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["start", "--host=*"], ["--host=*", "0.0.0.0"]),
        (["start", "--host=a,b"], ["--host=a,b"]),
        (["start", "--port=0"], ["--port=0", "1 to 65535"]),
        (["start", "--no-auth"], ["unrecognized arguments: --no-auth"]),
        (["user", "admin"], ["user=admin"]),
        (["user", "a b"], ["user=a b"]),
        (["user", "alice"], ["no server was started"]),
    ],
)
def test_a_mistake_gives_one_message(services: Services, words: list[str], parts: list[str]) -> None:
    said = refused(services, *words)
    for part in parts:
        assert part in said
    assert "Traceback" not in said


def test_a_password_does_not_travel_with_a_job(services: Services) -> None:
    said = refused(services, "submit", MLFLOW_AUTH_ADMIN_PASSWORD="hunter2hunter2")
    assert "unset it" in said
    assert "hunter2" not in said


def test_stop_and_status_where_nothing_is(tmp_path: Path) -> None:
    services = Services(base=tmp_path)
    stopped = services.control("stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"nothing runs: there is no {services.folder}\n")
    assert services.control("status").returncode == 1
    assert not services.folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts MLflow as another user")
def test_root_is_told_that_mlflows_user_cannot_use_its_python(services: Services) -> None:
    """Not as root instead: then each account would have root's rights, one mistake of MLflow away."""
    own = services.base / "own"  # as below /root
    own.mkdir(mode=0o700)
    (own / "python").symlink_to(Path(sys.executable).resolve())
    command = [str(own / "python"), *services.words("start")[len(everybodys_python()) :]]
    packages = f"{sysconfig.get_path('purelib')}:{Path(__file__).parents[2]}"
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": packages}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"as root MLflow runs as user {server_user()}, who cannot use {own / 'python'}" in done.stderr
    assert "make install PYTHON=/usr/bin/python3" in done.stderr
    assert not (services.folder / "postgres").exists()


def server_user() -> str:
    return next(name for name in ("mlflow", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
