"""Attempts at a run: who executes it, since when, and whether that process still lives.

`attempts/0002.json` is made once and says who; `0002.beat.json` is replaced while it works; `0002.end.json` says how it
ended in its own words; `0002.kind.json` is the engine's verdict, which knows SLURM's words too. The highest number is
the one that counts: an attempt that sees a higher one writes nothing more.
"""

import json
import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from difair_hpc.errors import DifairError, InvalidValue, RunBusy
from difair_hpc.files import fits, read_json, write_atomically, write_once
from difair_hpc.folders import make_folder, names_in
from difair_hpc.runs.place import Place
from difair_hpc.runs.process import machine, process

_log = logging.getLogger(__name__)

SILENCE_LIMIT = 120.0
"""Seconds without a heartbeat after which an attempt on another machine, or one that is stopped, counts as dead;
DIFAIR_SILENCE, where it is set, stands for it."""
_BEATS = 12
"""Heartbeats within that time, at least."""
_LARGEST_SKEW = 3600.0
"""Seconds by which the clock of another machine may be ahead; what is later still was never heard."""
_STOPPED = "Tt"
"""States of a process that is suspended, by SIGSTOP, Ctrl-Z or a debugger: it may never go on."""
_NAME = re.compile(r"(\d{4,9})\.json")
_PLACE = {"job?": str, "restart?": int, "node?": str, "log?": str, "offset?": int, "ends?": (float, None)}
_RECORD = {"host?": str, "machine?": str, "pid?": int, "pid_started?": (str, None), "started?": float, "place?": _PLACE}
_BEAT = {"time?": float, "epoch?": int, "step?": int, "steps?": int, "accuracy?": (float, None)}
_END = _BEAT | {"reason": str, "message?": str, "signal?": str, "trace?": str}

FORMS = {"": _RECORD, ".beat": _BEAT, ".end": _END, ".kind": {"kind": str, "evidence": str}}
"""Forms of an attempt's files by what follows its number in their names."""

Reason = Literal["finished", "stopped", "failed", "superseded"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """What the files say of one attempt."""

    number: int
    record: Mapping[str, Any]
    """host, machine, pid, pid_started, started, place, and what the attempt runs on."""
    beat: Mapping[str, Any]
    """time, epoch, step, steps of the last heartbeat; empty before the first."""
    end: Mapping[str, Any] | None
    """reason, time, signal, message, trace, position; None while it works, or if its process disappeared."""
    kind: str = ""
    """The typed reason of its end, once the engine has looked at it: one of sweep/ends.py."""
    evidence: str = ""
    """How the engine knew it."""

    @property
    def alive(self) -> bool:
        """Whether its process still works on the run, as far as this machine can tell."""
        if self.end is not None:
            return False
        if self.here and (self.pid is None or process(self.pid)[0] not in _STOPPED):
            return self.pid is not None
        heard = max(float(self.record.get("started", 0.0)), float(self.beat.get("time", 0.0)))
        return -_LARGEST_SKEW < time.time() - heard < _silence_limit()

    @property
    def here(self) -> bool:
        """Whether it runs or ran on this boot of this machine."""
        return bool(self.record.get("machine") == machine())

    @property
    def pid(self) -> int | None:
        """Number of its process, if that is on this machine and has not ended."""
        pid = int(self.record.get("pid", 0))
        started = process(pid)[1]
        return pid if self.here and started is not None and started == self.record.get("pid_started") else None

    @property
    def place(self) -> Place:
        """Where it ran."""
        kept = self.record.get("place", {})
        return Place(**{key: value for key, value in kept.items() if key in Place.__dataclass_fields__})

    @property
    def threads(self) -> int | None:
        """CPU threads that it uses; None: it is not on record."""
        hardware: Any = self.record.get("hardware")
        return int(hardware["threads"]) if fits(hardware, {"threads": int}) else None

    @property
    def position(self) -> tuple[int, int]:
        """Finished epochs and steps as last heard."""
        last = self.end or self.beat
        return int(last.get("epoch", 0)), int(last.get("step", 0))

    @property
    def seconds(self) -> float:
        """Time it has worked, up to its end or its last sign of life."""
        started = float(self.record.get("started", 0.0))
        last = self.end or self.beat
        return max(0.0, float(last.get("time", started)) - started)


def views(folder: Path) -> list[AttemptView]:
    """Return all attempts of the run folder by number."""
    return [view(folder, number) for number in _numbers(folder)]


def view(folder: Path, number: int) -> AttemptView:
    """Return what the files say of one attempt."""
    base = folder / "attempts"
    end = read_json(base / f"{number:04d}.end.json", _END)
    verdict = read_json(base / f"{number:04d}.kind.json", FORMS[".kind"]) or {}
    return AttemptView(
        number=number,
        record=read_json(base / f"{number:04d}.json", _RECORD) or {},
        beat=read_json(base / f"{number:04d}.beat.json", _BEAT) or {},
        end=None if end is None else {"message": "", "signal": "", "trace": "", **end},
        kind=verdict.get("kind", ""),
        evidence=verdict.get("evidence", ""),
    )


def set_kind(folder: Path, number: int, kind: str, evidence: str) -> None:
    """Put on record why an attempt ended, and how that is known; the first verdict stands."""
    content = json.dumps({"kind": kind, "evidence": evidence})
    write_once(folder / "attempts" / f"{number:04d}.kind.json", content)


def newest(folder: Path) -> AttemptView | None:
    """Return the attempt that counts, or None if there was none yet."""
    numbers = _numbers(folder)
    return view(folder, numbers[-1]) if numbers else None


def falls_silent(folder: Path, *, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Wait until the holder of a claim on another machine beats, or is known to be lost with its machine.

    Returns:
        Whether it is lost. Of a holder on this machine the process table tells; nothing is waited for.
    """
    first = newest(folder)
    if first is None or first.here or first.end is not None:
        return first is not None and not first.alive
    while not give_up():
        last = view(folder, first.number)
        if last.end is not None or last.beat != first.beat or _numbers(folder)[-1] != first.number:
            return False
        if not last.alive:
            return True
        time.sleep(1.0)
    return False


def require_free(folder: Path, what: str = "run") -> None:
    """Refuse what another live process works on, before anything is changed.

    Raises:
        RunBusy: names that process.
    """
    last = newest(folder)
    if last is not None and last.alive:
        raise _busy(folder, last, what)


class Attempt:
    """A claim on a run, held by this process; use it as a context manager so that it beats."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], *, what: str = "run", beside: Callable[[], None] = lambda: None
    ) -> None:
        """Claim the next number.

        Args:
            folder: The run folder.
            facts: What the attempt runs on (hardware, versions …), kept in its record.
            what: Word for the thing in messages; a study is claimed in the same way.
            beside: Called by the heartbeat's thread twice a second.

        Raises:
            RunBusy: a live process works on this run.
        """
        self.folder = folder
        make_folder(folder / "attempts")
        last = newest(folder)
        if last is not None and last.alive and not _restarted(last, facts):
            raise _busy(folder, last, what)
        self.number = 1 if last is None else last.number + 1
        self._position: dict[str, Any] = {"epoch": 0, "step": 0, "steps": 0}
        self._beside = beside
        self._done = threading.Event()
        self._beats = threading.Thread(target=self._beat_until_done, name="heartbeat", daemon=True)
        record = {
            "number": self.number,
            "host": socket.gethostname(),
            "machine": machine(),
            "pid": os.getpid(),
            "pid_started": process(os.getpid())[1],
            "started": time.time(),
            **facts,
        }
        if not write_once(self._file(".json"), json.dumps(record, indent=1)):
            raise _busy(folder, view(folder, self.number), what)

    def __enter__(self) -> "Attempt":
        """Start the heartbeat."""
        self._beat()
        self._beats.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Stop the heartbeat; an error that nobody put on record yet is how the attempt ended."""
        self._done.set()
        self._beats.join()
        if isinstance(error, KeyboardInterrupt):
            self.end("stopped", signal="SIGINT")
        elif error is not None:
            self.end("failed", message=f"{type(error).__name__}: {error}")

    def counts(self) -> bool:
        """Whether no later attempt has taken over; asked before everything that is written."""
        return _numbers(self.folder)[-1] == self.number

    def at(self, *, epoch: int, step: int, steps: int, accuracy: float | None = None) -> None:
        """Note position and newest closed-set accuracy; they are written with the next heartbeat."""
        self._position = {"epoch": epoch, "step": step, "steps": steps, "accuracy": accuracy}

    def end(self, reason: Reason, *, signal: str = "", message: str = "", trace: str = "") -> None:
        """Write how the attempt ended (`signal`: what stopped it); the first word stands."""
        words = {"signal": signal, "message": message, "trace": trace}
        content = {"reason": reason, "time": time.time(), **words, **self._position}
        write_once(self._file(".end.json"), json.dumps(content, indent=1))

    def _file(self, suffix: str) -> Path:
        return self.folder / "attempts" / f"{self.number:04d}{suffix}"

    def _beat(self) -> None:
        write_atomically(self._file(".beat.json"), json.dumps({"time": time.time(), **self._position}))

    def _beat_until_done(self) -> None:
        written, epoch, pause = time.monotonic(), -1, _silence_limit() / _BEATS
        while not self._done.wait(min(0.5, pause)):
            try:
                if self._position["epoch"] != epoch or time.monotonic() - written >= pause:
                    written, epoch = time.monotonic(), self._position["epoch"]
                    self._beat()
                self._beside()
            except (DifairError, OSError) as error:
                _log.warning("heartbeat of attempt %d: %s", self.number, error)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(match[1]) for name in names_in(folder / "attempts") if (match := _NAME.fullmatch(name)))


def _silence_limit() -> float:
    text = os.environ.get("DIFAIR_SILENCE") or str(SILENCE_LIMIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InvalidValue("DIFAIR_SILENCE", text, "seconds, a number above 0")
    return seconds


def _restarted(last: AttemptView, facts: Mapping[str, Any]) -> bool:
    """Whether SLURM has started the job of a live attempt again: then it has given up on that attempt's node."""
    old, new = last.place, Place(**facts.get("place", {}))
    return bool(new.job) and new.job == old.job and new.restart > old.restart


def _busy(folder: Path, other: AttemptView, what: str) -> RunBusy:
    who = f"process {other.record.get('pid', '?')} on {other.record.get('host', '?')}"
    return RunBusy(
        f"{what} {folder.name} is being worked on by {who} (attempt {other.number}); wait for it, or end that process "
        "and repeat the command: it continues from the last checkpoint."
    )
