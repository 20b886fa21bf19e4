"""Processes under test that need no start of their own: forked from one that has imported everything.

A command of difair takes seconds of processor time to import torch, MLflow and Optuna. Where a test is about what the
command does, not about how it starts, it is forked from a parent that did so once: a process with its own number,
session, environment, folder and streams, which a test may signal and kill like any other. The parent has one thread.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

_LENGTH = struct.Struct("!I")
_STATUS = struct.Struct("!i")
_LOOK_SECONDS = 0.02
MODULES = (
    "torch",
    "torch._dynamo",
    "scipy.stats",
    "sklearn.metrics",
    "sklearn.manifold",
    "mlflow.pytorch",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna",
    "submitit",
    "psycopg",
    "rich.progress",
    "difair_hpc.cli.sweep",
    "difair_hpc.cli.train",
    "difair_hpc.cli.gather",
    "difair_hpc.runs.job",
    "difair_hpc.report.page",
    "difair_hpc.report.figures",
    "difair_hpc.sweep.study",
    "difair_hpc.sweep.cluster",
)
"""What the parent imports."""
_PARENT_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's, which comes with MLflow
}
"""Without these an import starts a thread."""


@dataclass(kw_only=True)
class Forked:
    """A child of the parent, seen from a test: what `subprocess.Popen` offers of it."""

    pid: int
    status: int
    """The end of a pipe that says how it ended."""
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended; None while it works."""
        if self.returncode is None and select.select([self.status], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return its exit code; minus the number of the signal that ended it."""
        if self.returncode is None:
            told = os.read(self.status, _STATUS.size)
            os.close(self.status)
            assert told, "the parent of all forked processes is gone"
            self.returncode = int(_STATUS.unpack(told)[0])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def started(
    words: Sequence[str],
    *,
    cwd: Path,
    out: IO[bytes],
    err: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    code: str = "",
) -> Forked:
    """Start `difair` with the words, or Python `code`; `err`: where standard error goes, if not to `out`."""
    where = {"cwd": str(cwd), "environment": dict(environment or os.environ)}
    return _parent().start({"words": list(words), "code": code, **where}, out=out, err=err or out)


def completed(
    words: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `difair` with the words to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = started(words, cwd=cwd, out=out, err=err, environment=environment).wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read().decode(), err.read().decode())


@dataclass
class _Parent:
    """The process that has imported everything, and the socket on which it is asked to fork."""

    process: "subprocess.Popen[bytes]"
    door: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, request: Mapping[str, object], *, out: IO[bytes], err: IO[bytes]) -> Forked:
        text = json.dumps(request).encode()
        read, write = os.pipe()
        with self.lock:
            socket.send_fds(self.door, [_LENGTH.pack(len(text))], [out.fileno(), err.fileno(), write])
            self.door.sendall(text)
            os.close(write)
            told = self.door.recv(_STATUS.size, socket.MSG_WAITALL)
        assert told, "the parent of all forked processes is gone"
        return Forked(pid=_STATUS.unpack(told)[0], status=read)


@functools.cache
def _parent() -> _Parent:
    """Start the parent, one for all tests of this process; it ends when this process does."""
    mine, theirs = socket.socketpair()
    names = ("DIFAIR_", "MLFLOW_", "SLURM_", "SBATCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
        cwd=Path(__file__).parents[1],
        env={**environment, **_PARENT_ENVIRONMENT},
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )
    theirs.close()
    return _Parent(process, mine)


def close() -> None:
    """End the parent, if there is one."""
    if _parent.cache_info().currsize:
        parent = _parent()
        parent.door.close()
        parent.process.wait()
        _parent.cache_clear()


def _serve(door: socket.socket) -> None:
    """Fork on request and tell how children end, until the test process is gone."""
    statuses: dict[int, int] = {}
    while True:
        if select.select([door], [], [], _LOOK_SECONDS)[0]:
            head, files, _, _ = socket.recv_fds(door, _LENGTH.size, 3)
            if not head:
                return
            request = json.loads(door.recv(_LENGTH.unpack(head)[0], socket.MSG_WAITALL))
            ready, begun = os.pipe()
            child = os.fork()
            if child == 0:
                os.setsid()
                door.close()
                for end in (*statuses.values(), files[2], ready, begun):
                    os.close(end)
                _become(request, out=files[0], err=files[1])
            for end in (files[0], files[1], begun):
                os.close(end)
            os.read(ready, 1)  # nothing comes: the child has closed its end, and so has its own session
            os.close(ready)
            statuses[child] = files[2]
            door.sendall(_STATUS.pack(child))
        for child in list(statuses):
            ended, code = os.waitpid(child, os.WNOHANG)
            if ended:
                os.write(statuses[child], _STATUS.pack(os.waitstatus_to_exitcode(code)))
                os.close(statuses.pop(child))


def _become(request: Mapping[str, object], *, out: int, err: int) -> NoReturn:
    """Be `difair` with the words of the request, as if it had just been started, and end as it ends."""
    code = 1
    try:
        os.chdir(str(request["cwd"]))
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        for source in (nothing, out, err):
            os.close(source)
        words: list[str] = request["words"]  # type: ignore[assignment]
        sys.argv = ["difair", *words]
        if request["code"]:
            exec(compile(str(request["code"]), "<test>", "exec"), {"__name__": "__main__"})
            code = 0
        else:
            from difair_hpc.cli import main

            code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  # as the interpreter would
        sys.excepthook(*sys.exc_info())
    finally:
        getattr(threading, "_shutdown")()  # waits for threads, as the interpreter does  # noqa: B009
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    import gc
    import importlib

    for name in MODULES:
        importlib.import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"an import has started {threads - 1} threads: what is forked would miss them"
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
