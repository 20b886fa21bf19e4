"""MLflow's own server on 127.0.0.1 for tests: a folder, a port and a process group of its own, ended by its number."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.runs.server import WITHOUT_JOBS
from tests.waiting import HANG_SECONDS, eventually


@dataclass(kw_only=True, slots=True)
class MlflowServer:
    """A server that tests may kill and start again; its database is a file that they may read."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "server.db"

    def start(self) -> None:
        words = ["--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination", str(self.folder / "a")]
        words += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONWARNINGS": "ignore", **WITHOUT_JOBS},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        answered = eventually(lambda: self._answers() or process.poll() is not None, poll_seconds=0.1)
        assert answered, "MLflow does not answer: " + (self.folder / "server.log").read_text()
        assert process.poll() is None, (self.folder / "server.log").read_text()

    def kill(self) -> None:
        """End it and its workers by SIGKILL, at any moment."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=HANG_SECONDS)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_mlflow(folder: Path) -> Iterator[MlflowServer]:
    """Start a server with an empty store in the folder, and end it after the block."""
    server = MlflowServer(folder=folder, port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and never answer; give the address."""
    with socket.socket() as ears:
        ears.bind(("127.0.0.1", 0))
        ears.listen(64)
        yield f"http://127.0.0.1:{ears.getsockname()[1]}"
