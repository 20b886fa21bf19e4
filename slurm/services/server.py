"""Start and stop MLflow's server: all in PostgreSQL, artifacts passed on, names trusted one by one."""

import http.client
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from database import url
from owned import EVERYWHERE, as_user, end, given, processes, spawn, wait_for

from difair_hpc.errors import UserError

PROCESS = Path(__file__).absolute().with_name("mlflow_process.py")
"""What the server's process executes."""
_LOOK = (
    "import importlib.metadata, sys, difair_hpc.runs.mlflow_app, psycopg; "
    "importlib.metadata.version('mlflow'); open(sys.argv[1])"
)
"""Fails where the server's process would, and says why."""
USERS = ("mlflow", "nobody")
"""Whom the server belongs to where root starts it: the first that this machine has."""


def address(host: str, port: int) -> str:
    """Return where clients find the server."""
    name = socket.gethostname() if host in EVERYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def trusted(host: str, port: int) -> list[str]:
    """Return the values of the Host header that are answered.

    MLflow's own list holds patterns such as 10.*, which a page of the host 10.evil.example could use.
    """
    names = {"127.0.0.1", "localhost", socket.gethostname(), socket.getfqdn(), host} - {*EVERYWHERE}
    return sorted(address(name, port).removeprefix("http://") for name in names)


def user() -> str | None:
    """Return the user that the server runs as; None: whoever starts it.

    Root's rights would be those of every account, one mistake of MLflow away.

    Raises:
        UserError: there is none that it could be.
    """
    if os.geteuid() != 0:
        return None
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise UserError("as root MLflow needs a user of its own: useradd --system --no-create-home mlflow.")


def require_usable(user: str | None) -> None:
    """Refuse to start what the server's user may not read.

    Raises:
        UserError: names the user and what it cannot use.
    """
    if user is None:
        return
    words = [sys.executable, "-P", "-c", _LOOK, str(PROCESS)]
    try:
        looked = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", **as_user(user))
        reason = looked.stderr.strip().splitlines()[-1] if looked.returncode else ""
    except PermissionError as error:
        reason = str(error)
    if reason:
        raise UserError(
            f"as root MLflow runs as user {user}, who cannot use {sys.executable} or {PROCESS}: "
            f"{reason}. Install both where everybody may read, with a Python that everybody "
            "may execute (make install PYTHON=/usr/bin/python3), or start the services as a user without root's rights."
        )


def start(folder: Path, ports: Mapping[str, int], passwords: Mapping[str, str], *, host: str) -> bool:
    """Start the server unless it runs, and return whether it was started."""
    begins = not processes(folder, "mlflow")
    if begins:
        _begin(folder, ports, passwords, host=host)
    wait_for(lambda: answers(host, ports["mlflow"]), folder, "mlflow")
    return begins


def _begin(folder: Path, ports: Mapping[str, int], passwords: Mapping[str, str], *, host: str) -> None:
    _check_free(host, ports["mlflow"])
    for left in ("mlflow-auth.ini", "mlflow.pgpass"):  # of earlier versions
        (folder / left).unlink(missing_ok=True)
    own, artifacts = (given(folder / name, user()) for name in ("mlflow", "artifacts"))
    order = {
        "host": host,
        "port": ports["mlflow"],
        "names": trusted(host, ports["mlflow"]),
        "store": url(folder, ports["postgres"], "mlflow"),
        "accounts": url(folder, ports["postgres"], "mlflow_auth"),
        "artifacts": str(artifacts),
        "own": str(own),
        "admin": passwords["admin"],
        "database": passwords["mlflow"],
    }
    command = [sys.executable, "-P", str(PROCESS)]
    spawn(command, folder, "mlflow", {"HOME": str(own)}, user=user(), told=json.dumps(order))


def stop(folder: Path) -> bool:
    """End the server; return whether it ran."""
    return end(folder, "mlflow", (signal.SIGTERM, 20), (signal.SIGKILL, 10))


def answers(host: str, port: int) -> bool:
    """Whether the server says that it is well."""
    connection = http.client.HTTPConnection("127.0.0.1" if host in EVERYWHERE else host, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _check_free(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise UserError(f"--host {host} --port {port} cannot be used: {error.strerror or error}.") from error
