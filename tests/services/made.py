"""The services in a folder of their own, as a user's commands start them, and what tests look at."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.services.python import everybodys_python
from tests.waiting import HANG_SECONDS

CONTROL = Path(__file__).parents[2] / "slurm/services/control.py"
SECRET_FILES = {"passwords.json", "optuna.pgpass", ".pgpass", "credentials", "alice", "bob"}
"""Names of the files that passwords belong in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """A place for the services and the home of somebody who uses them."""

    base: Path

    @property
    def folder(self) -> Path:
        return self.base / "s"

    @property
    def root(self) -> Path:
        return self.base / "o"

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def address(self) -> Mapping[str, str]:
        """What an output root says of the server."""
        found: Mapping[str, str] = json.loads((self.root / "mlflow-server.json").read_text())
        return found

    def words(self, *words: str) -> list[str]:
        return [*everybodys_python(), str(CONTROL), *words, f"--root={self.root}", f"--folder={self.folder}"]

    def control(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; the words after -- come last."""
        own, more = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, ())
        whole = {**os.environ, **environment}
        command = [*self.words(*own), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=whole)

    def secrets(self) -> dict[str, str]:
        """Return every password that there is, by where it belongs."""
        made: dict[str, str] = json.loads((self.folder / "passwords.json").read_text())
        users = {path.name: path.read_text().split()[-1] for path in (self.folder / "users").glob("*")}
        return made | users

    def status(self, path: str, *, user: str = "", password: str = "", method: str = "GET", **headers: str) -> int:
        """Ask the server and return the status of its answer."""
        return self.ask(path, user=user, password=password, method=method, **headers)[0]

    def ask(
        self, path: str, content: object = None, *, user: str, password: str, method: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """Ask the server, with content as JSON; return status and content of its answer."""
        place = urlsplit(self.address["tracking_uri"]).netloc
        connection = http.client.HTTPConnection(place, timeout=HANG_SECONDS)
        rights = base64.b64encode(f"{user}:{password}".encode()).decode()
        more = {"Authorization": f"Basic {rights}"} if user else {}
        body = None if content is None else json.dumps(content)
        more |= {} if content is None else {"Content-Type": "application/json"}
        try:
            connection.request(method or ("POST" if body else "GET"), path, body=body, headers={**more, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def processes(self) -> list[str]:
        """Return the command lines of what holds something in the folder: it is its working folder or in its words."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words, place = (path / "cmdline").read_bytes(), str((path / "cwd").readlink())
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue
            if str(self.base).encode() in words or place.startswith(f"{self.base}/"):
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
        return found


@contextmanager
def a_place() -> Iterator[Services]:
    """Make a folder that PostgreSQL's user may pass, and remove it after the block, once nothing runs in it.

    A shell that read its name would make a file out of it.
    """
    services = Services(base=Path(tempfile.mkdtemp(prefix="difair services $(touch hacked);'-")))
    services.base.chmod(0o711)
    (services.home / ".mlflow").mkdir(parents=True)
    try:
        yield services
    finally:
        stopped = services.control("stop")
        assert stopped.returncode == 0, stopped.stderr
        assert not [*services.base.rglob("hacked"), *Path().glob("hacked")]
        shutil.rmtree(services.base)


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Collect the words of every process of this machine, many times a second."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
