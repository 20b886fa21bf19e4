"""A private PostgreSQL server for tests: a folder, a socket and a process of its own, ended by its pid."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import HANG_SECONDS, eventually

USER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root; Debian's package makes this user."""


def binaries() -> Path | None:
    """Return the folder of the newest server's programs, which Debian keeps off the PATH, or None."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else Path("/usr/lib/postgresql").glob("*/bin")
    return max((place for place in places if (place / "initdb").exists()), default=None)


@dataclass(kw_only=True, slots=True)
class Server:
    """A server that tests may stop and start again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    made: int = field(default=0)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://difair@/{database}?host={self.folder}"

    def database(self) -> str:
        """Make an empty database and return its URL."""
        self.made += 1
        self.run(f"CREATE DATABASE d{self.made}")
        return self.url(f"d{self.made}")

    def run(self, statement: str, *, url: str = "") -> None:
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        words = ["-D", f"{self.folder}/data", "-k", f"{self.folder}", "-c", "listen_addresses=", "-c", "fsync=off"]
        self.process = process = subprocess.Popen(_command("postgres", *words), user=USER, group=USER, cwd=self.folder)
        assert eventually(lambda: self._answers() or process.poll() is not None), "PostgreSQL does not answer"
        assert process.poll() is None, "PostgreSQL ended; what it said is above"

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # ends it without waiting for those who are connected
            self.process.wait(timeout=HANG_SECONDS)
            self.process = None

    def _answers(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server in a new folder, and end it and remove the folder after the block."""
    folder = Path(tempfile.mkdtemp(prefix="difair-postgres-"))  # pytest's own folders are closed to other users
    try:
        if USER:
            shutil.chown(folder, USER, USER)
        words = ["-D", f"{folder}/data", "-U", "difair", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            _command("initdb", *words), user=USER, group=USER, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        server = Server(folder=folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _command(program: str, *words: str) -> list[str]:
    place = binaries()
    assert place is not None, "tests that need the server are skipped without it"
    return [str(place / program), *words]
