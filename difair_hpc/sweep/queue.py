"""What SLURM tells of the user's jobs: one squeue for all of them, shared by all commands, and sacct for the departed.

Administrators count the calls. The answer is kept in the user's cache folder, by cluster; whoever needs one that is not
older than the profile's poll_seconds takes it from there. Where it cannot be kept, every command asks for itself. After
an error nobody asks again for a growing while.
"""

import hashlib
import json
import logging
import os
import re
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.disk import locked
from difair_hpc.errors import ClusterUnreachable, DifairError, Failure
from difair_hpc.files import parse_json, read_owned, write_atomically
from difair_hpc.sweep.commands import Command, Pauses
from difair_hpc.sweep.jobs import JobEnd
from difair_hpc.user import OTHERS

_log = logging.getLogger(__name__)

SQUEUE = ("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%K|%T|%N|%r|%j")
_SACCT = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,NodeList")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedJob:
    """One line of squeue: a job, or one task of an array."""

    id: str
    name: str
    task: int
    state: str
    reason: str
    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One answer of squeue."""

    jobs: tuple[QueuedJob, ...] = ()
    asked: float = 0.0
    """When it was asked, seconds since 1970."""


class Queue:
    """The user's jobs on one cluster."""

    def __init__(self, command: Command, *, max_age: float, cache: Path | None) -> None:
        """Ask through `command`.

        Args:
            command: Runs a SLURM command.
            max_age: Seconds for which an answer is good.
            cache: File that other commands share; None: this object asks for itself.
        """
        self._command = command
        self._max_age = max_age
        self._cache = cache
        self._look = Look()
        self._pauses = Pauses(longest=max(max_age, 1.0))

    def look(self) -> Look:
        """Return the newest answer, asking where it is too old.

        Raises:
            ClusterUnreachable: SLURM does not answer, or did not a moment ago.
        """
        if time.time() - self._look.asked < self._max_age:
            return self._look
        self._pauses.check()
        # One command asks while the others wait for its answer.
        with nullcontext() if self._cache is None else locked(self._cache.with_suffix(".lock")):
            if (kept := self._kept()) is not None:
                self._look = kept
                return self._look
            asked = time.time()
            text = self._ask()
            self._keep(asked, text)
        self._look = Look(jobs=tuple(parse_queue(text)), asked=asked)
        return self._look

    def _kept(self) -> Look | None:
        """Return the answer that another command has got, if it is new enough."""
        try:
            text, owner = ("", OTHERS) if self._cache is None else read_owned(self._cache)
            kept = parse_json(text, {"time": float, "text": str}) if owner == os.geteuid() else None
        except Failure as error:
            _log.info("squeue's answer is not shared (%s)", error)
            return None
        if kept is None or not 0 <= time.time() - kept["time"] < self._max_age:
            return None
        return Look(jobs=tuple(parse_queue(kept["text"])), asked=kept["time"])

    def _keep(self, asked: float, text: str) -> None:
        """Let other commands have the answer, where the cache can be written: a full home stops nobody's study."""
        if self._cache is None:
            return
        try:
            write_atomically(self._cache, json.dumps({"time": asked, "text": text}), own=True)
        except DifairError as error:
            _log.info("squeue's answer is not shared (%s)", error)

    def departed(self, ids: Collection[str]) -> Mapping[str, JobEnd]:
        """Return how array tasks ended that have left the queue, by id; those that nobody remembers are left out."""
        arrays = sorted({job.partition("_")[0] for job in ids})
        try:
            text = self._command([*_SACCT, "-j", ",".join(arrays)])
        except Failure:  # no accounting here, or none at the moment: the jobs' own logs have to tell
            return {}
        return {job: end for job, end in parse_accounts(text).items() if job in ids}

    def _ask(self) -> str:
        try:
            text = self._command(SQUEUE)
        except ClusterUnreachable as error:
            self._pauses.failed(error)
            raise
        self._pauses.answered()
        return text


def shared_cache() -> Path | None:
    """Return the file in which all commands of this user on this cluster keep squeue's answer; None: no home for it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache")) / "difair"
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder / f"squeue-{_cluster_name()}-{os.getuid()}.json" if os.access(folder, os.W_OK) else None


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs of squeue's lines `id|task|state|nodes|reason|name`; a job without tasks is task 0.

    Other lines are what a site's wrapper of squeue adds.
    """
    jobs = []
    for line in text.split("\n"):  # not splitlines: a foreign name may hold one of Unicode's other line ends
        if line.count("|") < 5:
            continue
        job, task, state, node, reason, name = line.strip().split("|", maxsplit=5)
        number = int(task) if task.isdecimal() else 0
        jobs.append(QueuedJob(id=job, name=name, task=number, state=state, reason=reason, node=node))
    return jobs


def parse_accounts(text: str) -> dict[str, JobEnd]:
    """Return the ends of sacct's lines `id|state|nodes`; of a state such as `CANCELLED by 0` the first word."""
    ends = {}
    for line in text.splitlines():
        if line.count("|") != 2:
            continue
        job, state, node = line.strip().split("|")
        word = state.split(maxsplit=1)[0] if state else ""
        ends[job] = JobEnd(id=job, state=word, node="" if node.startswith("None") else node, time=time.time())
    return ends


def _cluster_name() -> str:
    """Name the cluster without asking it: homes are often shared by several."""
    conf = os.environ.get("SLURM_CONF", "")
    for path in (conf, "/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf", "/etc/slurm-llnl/slurm.conf"):
        try:
            text = Path(path).read_text("utf-8", errors="replace") if path else ""
        except OSError:
            continue
        if found := re.search(r"(?mi)^\s*ClusterName\s*=\s*(\S+)", text):
            return f"{re.sub(r'[^A-Za-z0-9._-]', '_', found[1])}-{_short(path)}"
    return _short(socket.getfqdn().partition(".")[2] + conf)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
