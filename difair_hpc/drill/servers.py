"""What a drill starts beside the study: MLflow's server, PostgreSQL, a small file system; each can be lost."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.errors import Failure
from difair_hpc.launch import SAFE_PATH
from difair_hpc.runs.server import WITHOUT_JOBS
from difair_hpc.runs.sqlite import sqlite_uri

_PATIENCE_SECONDS = 600.0


@dataclass(kw_only=True, slots=True)
class Server:
    """A server in a session of its own, which can be killed with all that it started, and started again."""

    name: str
    command: Sequence[str]
    answers: Callable[[], bool]
    log: Path
    environment: Mapping[str, str]
    user: str | None = None
    """Who runs it; None: the user of this process."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            Failure: it ended, or does not answer; names its log.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env=dict(self.environment),
                user=self.user,
                group=self.user,
                start_new_session=True,
            )
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise Failure(f"{self.name} does not answer; what it said is in {self.log}.")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it and its processes, and wait until they are gone."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def mlflow_server(folder: Path, environment: Mapping[str, str]) -> tuple[Server, str]:
    """Return MLflow's server on SQLite and a free port of 127.0.0.1, not started, and its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = [
        "--backend-store-uri",
        sqlite_uri(folder / "mlflow.db"),
        "--artifacts-destination",
        str(folder / "files"),
    ]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    environment = {**environment, **SAFE_PATH, **WITHOUT_JOBS}
    command = [sys.executable, "-P", "-m", "mlflow", "server", *words]
    log = folder / "mlflow.log"
    return Server(name="MLflow's server", command=command, answers=answers, log=log, environment=environment), address


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's newest server, which Debian keeps off the PATH, or None."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else Path("/usr/lib/postgresql").glob("*/bin")
    return max((place for place in places if (place / "initdb").exists()), default=None)


def postgres_server(folder: Path, environment: Mapping[str, str]) -> tuple[Server, str]:
    """Make a database in the folder; return its server on a socket there, not started, and the URL of the database.

    The folder must be one that PostgreSQL's user can reach, and short: a socket's path has at most 107 bytes.
    """
    programs = postgres_programs()
    assert programs is not None, "the drill leaves the kind out where there is no server"
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user, user)
    make = [str(programs / "initdb"), "-D", f"{folder}/data", "-U", "difair", "--auth=trust", "--encoding=UTF8"]
    subprocess.run([*make, "--locale=C"], user=user, group=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    command = [str(programs / "postgres"), "-D", f"{folder}/data", "-k", str(folder), "-c", "listen_addresses="]
    url = f"postgresql://difair@/postgres?host={folder}"

    def answers() -> bool:
        import psycopg

        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    log = folder / "postgres.log"
    server = Server(name="PostgreSQL", command=command, answers=answers, log=log, environment=environment, user=user)
    return server, url


def mount(folder: Path, megabytes: int) -> bool:
    """Mount a small file system in memory on the folder; return whether that is possible here."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Take the file system away, with all that is on it."""
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
