"""The study under the drill: the command that drives it, its runs as their folders tell, and how all of it is ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from difair_hpc.config import word
from difair_hpc.drill.servers import Server
from difair_hpc.errors import Failure
from difair_hpc.launch import python
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import AttemptView, newest
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.ledger import ledger
from difair_hpc.train import checkpoint

STUDY = "drill"
"""The sweep file and the study."""
MARK = "DIFAIR_DRILL"
"""Environment variable by which a drill knows the processes that it, or one of its own, has started."""
PATIENCE_SECONDS = 600.0
"""Longest wait for anything but the study's end."""
_LOOK_SECONDS = 0.05
_LEAST_LEFT = 3
"""Epochs that a run must have before it to be hit: a fault that SLURM or a file system delays should still find it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a run stands."""

    folder: RunFolder
    attempt: AttemptView
    """The newest."""
    own: int
    """Epochs that stand behind the newest attempt: restored or finished by it."""
    finished: int
    """Epochs that it or an attempt before it has finished, as far as checkpoints tell."""
    left: int
    """Epochs to go."""
    done: bool

    @property
    def works(self) -> bool:
        """Whether a process is at it, not about to end, and there are a checkpoint and a spool to be damaged."""
        begun = self.own > 0 and (self.folder.path / spool.NAME).exists()
        return not self.done and self.attempt.alive and begun and self.left >= _LEAST_LEFT


def standing(folder: RunFolder) -> Standing | None:
    """Return where a run stands; None: it was never begun. A run may have hundreds of attempts: only one is read."""
    last = newest(folder.path)
    if last is None:
        return None
    saved = [_named(path) for path in checkpoint.newest_first(folder.path)]
    own = max([last.position[0], *(epoch for number, epoch in saved if number == last.number)])
    finished = max([own, *(epoch for _, epoch in saved)])
    done = (folder.path / "result.json").exists()
    left = _epochs(folder) - finished
    return Standing(folder=folder, attempt=last, own=own, finished=finished, left=left, done=done)


@cache
def _epochs(folder: RunFolder) -> int:
    return folder.spec().protocol.epochs


def _named(path: Path) -> tuple[int, int]:
    """Return attempt and epoch of a checkpoint, as its name says."""
    _, number, epoch, _ = path.stem.split("-")
    return int(number), int(epoch)


def saved_epochs(folder: RunFolder) -> int:
    """Return the finished epochs of the newest checkpoint that can be read: where the next attempt begins."""
    loaded = checkpoint.load_newest(folder.path)
    return 0 if loaded is None else _named(loaded.path)[1]


@dataclass(kw_only=True, slots=True)
class Scene:
    """What a drill acts on."""

    base: Path
    """The drill's own folder."""
    root: Path
    """Output root of the disturbed study."""
    words: Sequence[str]
    """Settings of the study and its profile, key=value."""
    environment: Mapping[str, str]
    """Of every process."""
    execution: ExecutionSpec
    """How an attempt is executed that the drill itself starts."""
    slurm: bool
    """Whether jobs of SLURM execute the runs."""
    tracking: Server
    tracking_uri: str
    database: Server | None = None
    database_url: str = ""
    storage: str = ""
    """Optuna's storage that the command uses now: empty, the journal, or `database_url`."""
    command: subprocess.Popen[bytes] | None = None
    lost: set[str] = field(default_factory=set)
    """Nodes that were lost: SLURM may drain one, as still busy, after it has come back."""
    look: Callable[[], object] | None = None
    """Called again and again during every wait."""

    def said(self, *words: str) -> None:
        """Run a command of difair to its end.

        Raises:
            Failure: it failed; names its log.
        """
        with (self.base / "commands.log").open("ab") as log:
            code = self._start(words, log).wait()
        if code:
            raise Failure(
                f"difair {' '.join(words)} ended with {code}; what it said is in {self.base / 'commands.log'}."
            )

    def attend(self) -> None:
        """Start the command that drives the study, as a user would."""
        words = ["sweep", STUDY, "-y", word("root", self.root), word("tracking_uri", self.tracking_uri)]
        words += [word("storage", self.storage), *self.words]
        with (self.base / "commands.log").open("ab") as log:
            self.command = self._start(words, log)

    def abandon(self) -> None:
        """Kill that command; the runs go on."""
        if self.command is not None:
            self.command.kill()
            self.command.wait()

    def drive_with(self, storage: str) -> None:
        """Let the command use this storage of Optuna from now on, and wait until it does."""
        if storage != self.storage:
            self.storage = storage
            self.restart()

    def restart(self) -> None:
        """Kill the command and start it again, and wait until it drives the study."""
        self.abandon()
        self.attend()
        self.wait("the command drives the study", lambda: self.driven or self.over)

    @property
    def driven(self) -> bool:
        """Whether the command holds the study's lease."""
        last = newest(ledger(self.root, STUDY).path)
        return self.command is not None and last is not None and last.alive and last.pid == self.command.pid

    @property
    def over(self) -> bool:
        """Whether the study is complete, and the command has left."""
        if self.command is None or self.command.poll() is None:
            return False
        stages = (ledger(self.root, STUDY).description() or {"stages": [{"complete": False}]})["stages"]
        return all(stage["complete"] for stage in stages)

    def keep_going(self) -> None:
        """Start the command again where it has left before the study's end, as a user would."""
        if self.command is not None and self.command.poll() is not None and not self.over:
            self.attend()

    def at_work(self) -> list[Standing]:
        """Return the runs at which a process works, by signature."""
        folders = [run_folder(self.root, path.name) for path in sorted((self.root / "runs").glob("*"))]
        return [found for folder in folders if (found := standing(folder)) is not None and found.works]

    def wait(
        self, what: str, condition: Callable[[], object], *, attended: bool = True, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until the condition holds; `attended`: start the command again where it leaves meanwhile.

        Raises:
            Failure: it does not within the time.
        """
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise Failure(f"not within {seconds:.0f} s: {what}; see commands.log and {self.root / 'jobs'}.")
            if attended:
                self.keep_going()
            if self.look is not None:
                self.look()
            time.sleep(_LOOK_SECONDS)

    def send(self, attempt: AttemptView, number: signal.Signals) -> str:
        """Send a signal to the process of an attempt, through SLURM where it is on another machine."""
        if (pid := attempt.pid) is not None:
            os.kill(pid, number)
            return f"{number.name} to process {pid}"
        run_command(["scancel", f"--signal={number.name.removeprefix('SIG')}", attempt.place.job])
        return f"{number.name} to job {attempt.place.job}"

    def bring_back(self, node: str) -> None:
        """Let SLURM use a node again; one that it uses already cannot be resumed, and says so."""
        words = ["scontrol", "update", f"nodename={node}", "state=resume"]
        subprocess.run(words, check=False, capture_output=True)

    def close(self) -> None:
        """End everything that the drill started: servers, the command, and every process below it."""
        if self.command is not None and self.slurm and not self.over:
            with suppress(Failure):
                self.said("cancel", STUDY, word("root", self.root))
        self.abandon()
        for node in self.lost:
            self.bring_back(node)
        for server in (self.tracking, self.database):
            if server is not None:
                server.kill()
        while found := _marked(self.environment[MARK]):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_SECONDS)

    def _start(self, words: Sequence[str], log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*python(), "-m", "difair_hpc", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(self.environment),
            start_new_session=True,  # Ctrl-C is for the drill, which ends it
        )


def _marked(value: str) -> list[int]:
    """Return the living processes that carry the mark in their environment."""
    wanted = f"{MARK}={value}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found
