"""Commands of one user, one after the other in one child: what each printed, how it ended, and where it hung."""

import contextlib
import importlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests import forked
from tests.security.users import User, become

LIMIT_SECONDS = float(os.environ.get("DIFAIR_TEST_LIMIT", "60"))
"""A command that takes longer hangs; read before conftest.py hides the user's settings from the tests."""
TERMINAL = " (terminal)"
"""What follows a command that was typed there."""
_ROOM_BYTES = 3 * 2**30
"""Memory that a command may take beyond what it begins with: one that reads all of a huge file needs more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What a user does."""

    words: tuple[str, ...] = ()
    """Of `difair`."""
    code: str = ""
    """A function in place of that, MODULE:NAME, which takes the words."""
    terminal: bool = False
    """Whether standard output and error are a terminal, not files."""
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float = LIMIT_SECONDS

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.code or 'difair'} {' '.join(self.words)}{TERMINAL if self.terminal else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a command printed and returned."""

    command: str
    code: int | None
    """None: it ended with an exception that nobody caught."""
    text: str
    """Standard output, then standard error."""
    hung: str = ""
    """Where it was when its time was up."""

    @property
    def sane(self) -> bool:
        """Whether it did its work, or ended with a message of its own."""
        odd = ("internal error", "Traceback (most recent")
        return self.code in (0, 1, 2) and not any(sign in self.text for sign in odd)


class _Hung(BaseException):
    """The time of a command is up."""


def run_as(
    user: User, commands: Sequence[Command], *, cwd: Path, environment: Mapping[str, str], place: Path
) -> list[Said]:
    """Run commands as a user in one child; `place`: a folder of root's for what the child is asked and answers."""
    request, answer, log = (place / f"{name}-{time.monotonic_ns()}" for name in ("request", "answer", "log"))
    request.write_text(json.dumps({"user": asdict(user), "commands": [asdict(one) for one in commands]}), "utf-8")
    code = f"from tests.security.commands import serve; serve({str(request)!r}, {str(answer)!r})"
    with log.open("wb") as out:
        child = forked.started([], cwd=cwd, out=out, environment=environment, code=code)
        until = time.monotonic() + LIMIT_SECONDS + sum(command.limit for command in commands)
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.003)
        stuck = child.poll() is None
        child.kill()
        child.wait()
    answers = [Said(**json.loads(line)) for line in answer.read_text("utf-8").splitlines()]
    if len(answers) < len(commands):
        lost = str(commands[len(answers)])
        said = log.read_text("utf-8", errors="replace")
        hung = "in a call that no signal ends" if stuck else ""
        answers.append(Said(command=lost, code=None, text=f"its process ended: {child.returncode} {said}", hung=hung))
    for path in (request, answer, log):
        path.unlink()
    return answers


def serve(request: str, answer: str) -> None:
    """Become the user and run the commands; called in the child."""
    asked = json.loads(Path(request).read_text("utf-8"))
    with Path(answer).open("w", encoding="utf-8") as told:
        become(User(**asked["user"]))
        signal.signal(signal.SIGALRM, _raise_hung)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + _ROOM_BYTES, hard))
        for command in asked["commands"]:
            told.write(json.dumps(asdict(_said(Command(**command)))) + "\n")
            told.flush()


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


def _raise_hung(number: int, frame: FrameType | None) -> None:
    raise _Hung


def _said(command: Command) -> Said:
    before, folder, umask = dict(os.environ), Path.cwd(), os.umask(0o022)
    os.environ.update(command.environment)
    hung, code, more = "", None, ""
    with _streams(terminal=command.terminal) as read:
        signal.setitimer(signal.ITIMER_REAL, command.limit)
        try:
            code = _function(command)(list(command.words))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except _Hung as error:
            hung = _where(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is reported
            hung = _where(error) if isinstance(error.__context__, _Hung) else ""
            more = "".join(traceback.format_exception(error))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        text = read()
    os.environ.clear()
    os.environ.update(before)
    os.chdir(folder)
    os.umask(umask)
    return Said(command=str(command), code=code, text=text + more, hung=hung)


def _function(command: Command) -> Callable[[list[str]], Any]:
    module, _, name = (command.code or "difair_hpc.cli:main").partition(":")
    found: Callable[[list[str]], Any] = getattr(importlib.import_module(module), name)
    return found


def _where(error: BaseException) -> str:
    """Return the last place in the package of an exception, and the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "difair_hpc" in frame.filename] or frames
    return " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(own[-3:]))


@contextlib.contextmanager
def _streams(*, terminal: bool) -> Iterator[Callable[[], str]]:
    """Let standard output and error go to a file, or a terminal, from which what was written can be read."""
    kept = os.dup(1), os.dup(2)
    out, err = sys.stdout, sys.stderr
    parts: list[bytes] = []
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        ends = os.openpty() if terminal else None
        targets = (ends[1], ends[1]) if ends else (first.fileno(), second.fileno())
        reader = threading.Thread(target=_drain, args=(ends[0], parts), daemon=True) if ends else None
        if reader is not None:
            reader.start()
        for target, number in zip(targets, (1, 2), strict=True):
            os.dup2(target, number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8") for number in (1, 2))

        def read() -> str:
            with contextlib.suppress(ValueError, OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            for number, saved in zip((1, 2), kept, strict=True):
                os.dup2(saved, number)
            sys.stdout, sys.stderr = out, err
            if ends and reader is not None:
                os.close(ends[1])
                reader.join(1.0)
                return b"".join(parts).decode("utf-8", errors="surrogateescape")
            for file in (first, second):
                file.seek(0)
            return b"\n".join((first.read(), second.read())).decode("utf-8", errors="surrogateescape")

        yield read
    for saved in kept:
        os.close(saved)


def _drain(end: int, parts: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while part := os.read(end, 65536):
            parts.append(part)


def ui(words: list[str]) -> int:
    """Run `difair ui` up to the moment at which it would become MLflow's server."""
    from difair_hpc.cli import main
    from difair_hpc.cli import ui as module

    module.serve = lambda *_, **__: None
    return main(["ui", *words])


def job(words: list[str]) -> int:
    """Be a job's process of a wave: ROOT WAVE."""
    from difair_hpc.runs import job as module

    sys.argv = ["job", *words]
    return module.main()


def after(words: list[str]) -> int:
    """Be the last step of a job, STUDY WAVE CODE; what it starts is noted, not started."""
    from difair_hpc.sweep import after as module

    def noted(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        sys.stdout.write(f"STARTED {json.dumps([*command, options.get('cwd', '')])}\n")
        return subprocess.CompletedProcess([*command], 0, "", "")

    setattr(subprocess, "run", noted)  # noqa: B010
    sys.argv = ["after", *words]
    return module.main()


def shell(words: list[str]) -> int:
    """Execute the script of a job as a node does; the commands of runs are not there, so that only its start counts."""
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash", *words], env=environment, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout + done.stderr)
    return 0
