"""MLflow's own server with its basic-auth app: all in PostgreSQL, artifacts passed on, names trusted one by one."""

import http.client
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from database import url
from owned import EVERYWHERE, end, processes, spawn, wait_for

from difair_hpc.errors import UserError
from difair_hpc.files import write_atomically
from difair_hpc.runs.server import WITHOUT_JOBS

AUTH = """\
[mlflow]
database_uri = {database}
admin_username = admin
# Who has an account sees every study; only who made one, and the admin, may change it.
default_permission = READ
# A password is checked once a minute, not with every request: the check takes tens of milliseconds.
auth_cache_ttl_seconds = 60
"""


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


def start(folder: Path, ports: Mapping[str, int], passwords: Mapping[str, str], *, host: str) -> bool:
    """Start the server unless it runs, and return whether it was started."""
    begins = not processes(folder, "mlflow")
    if begins:
        _begin(folder, ports, passwords, host=host)
    wait_for(lambda: answers(host, ports["mlflow"]), folder, "mlflow")
    return begins


def _begin(folder: Path, ports: Mapping[str, int], passwords: Mapping[str, str], *, host: str) -> None:
    _check_free(host, ports["mlflow"])
    settings, rights = folder / "mlflow-auth.ini", folder / "mlflow.pgpass"
    database = url(folder, ports["postgres"], "mlflow_auth")
    write_atomically(settings, AUTH.format(database=database.replace("%", "%%")))
    write_atomically(rights, f"*:*:*:mlflow:{passwords['mlflow']}\n")
    words = ["--host", host, "--port", str(ports["mlflow"]), "--workers", "1", "--app-name", "basic-auth"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    words += ["--allowed-hosts", ",".join(trusted(host, ports["mlflow"]))]
    words += ["--cors-allowed-origins", address(host, ports["mlflow"])]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": url(folder, ports["postgres"], "mlflow"),
        "PGPASSFILE": str(rights),
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": passwords["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords["session"],
        **WITHOUT_JOBS,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    spawn([sys.executable, "-m", "mlflow", "server", *words], folder, "mlflow", environment)


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
