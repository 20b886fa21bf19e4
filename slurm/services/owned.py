"""What belongs to the services: their folder, the passwords in it, and the processes that carry its mark.

A process is ours if its environment says so, which it got from us when it was started. So nothing has to be written
before or after a start, and a command that was killed in between leaves no process that the next one cannot find.
"""

import fcntl
import json
import os
import platform
import pwd
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from difair_hpc.errors import Failure, UserError
from difair_hpc.files import read_json, write_atomically, write_once
from difair_hpc.runs.server import private

MARK = "DIFAIR_SERVICES"
"""Environment variable that our processes carry: `service@folder`."""
EVERYWHERE = ("0.0.0.0", "::")
"""Values of --host that mean every address of this machine."""
PASSWORDS = ("admin", "postgres", "mlflow", "optuna")
"""MLflow's admin and the three roles of PostgreSQL."""
_PASSED_ON = re.compile(
    r"PATH|LD_LIBRARY_PATH|LANG|LC_[A-Z]+|TZ|(PYTHON|MLFLOW_)(?!.*(PASSWORD|TOKEN|SECRET|USERNAME)).*"
)
"""What of our environment the services need; the rest may hold passwords of whoever starts them."""


def prepared(folder: Path) -> Path:
    """Make the folder, closed to others, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    # As root PostgreSQL runs as another user, who must be able to pass; every file in the folder stays closed.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one command at a time start or stop; the lock ends with its process, however that ends."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def passwords(folder: Path) -> Mapping[str, str]:
    """Return the passwords by name; the first call makes them. The admin's may come from the environment instead.

    Raises:
        UserError: others may read the file.
    """
    path = folder / "passwords.json"
    write_once(path, json.dumps({name: secrets.token_urlsafe(24) for name in PASSWORDS}))
    private(path)
    made: dict[str, str] = json.loads(path.read_text("utf-8"))
    given = os.environ.get("MLFLOW_AUTH_ADMIN_PASSWORD")
    return {**made, "admin": given} if given else made


def ports(folder: Path, wanted: int | None) -> Mapping[str, int]:
    """Return the ports of both services: those of the last start, else free ones; `wanted` is MLflow's."""
    known = read_json(folder / "ports.json") or {}
    chosen = {name: known.get(name) or _free_port() for name in ("mlflow", "postgres")}
    chosen |= {"mlflow": wanted} if wanted else {}
    if chosen != known:
        write_atomically(folder / "ports.json", json.dumps(chosen))
    return chosen


def claim(folder: Path, *, takeover: bool) -> None:
    """Note that this machine runs the services: two PostgreSQL on one folder would destroy it.

    Raises:
        UserError: another machine runs them, or may do so; names it.
    """
    place, job = folder / "node.json", os.environ.get("SLURM_JOB_ID", "")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    here, last = {"node": platform.node(), "boot": boot, "job": job}, read_json(place)
    if last == here:
        return
    again = bool(job) and last is not None and last["job"] == job  # SLURM has ended a job that it starts again
    if last is not None and last["node"] != here["node"] and not (again or takeover):
        raise UserError(
            f"the services in {folder} were started on {last['node']} and not stopped. Stop them there; if that "
            "machine is certainly down, take them over: start --takeover."
        )
    if last is not None and last["boot"] != boot:  # its process ids mean nothing here
        (folder / "postgres/data/postmaster.pid").unlink(missing_ok=True)
    write_atomically(place, json.dumps(here))


def spawn(
    command: Sequence[str],
    folder: Path,
    service: str,
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    told: str = "",
) -> None:
    """Start a process that outlives this one, carries our mark and writes to the service's log.

    Args:
        command: Its words.
        folder: Of the services.
        service: Its name.
        environment: What it needs beside what everything needs.
        user: Whose rights it has; None: ours.
        told: What it reads from standard input: neither a list of processes nor a file has that. It is all there
            before the process begins, so that nobody can die in between.

    Raises:
        UserError: that user cannot start it.
    """
    passed = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    ears, mouth = os.pipe()
    try:
        os.write(mouth, told.encode())
        os.close(mouth)
        with (folder / f"{service}.log").open("ab") as log:
            subprocess.Popen(
                command,
                cwd=folder,
                env={**passed, **environment, MARK: f"{service}@{folder}"},
                stdin=ears,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user(user),
            )
    except PermissionError as error:
        who = f" by user {user}" if user else ""
        raise UserError(f"{command[0]} cannot be executed{who}: {error.strerror}.") from error
    finally:
        os.close(ears)


def as_user(user: str | None) -> dict[str, Any]:
    """Return what makes a process of ours another user's, without any of our groups."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def given(folder: Path, user: str | None) -> Path:
    """Make a folder, closed to others, and make it a user's, with all that is in it; None: ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        owner = pwd.getpwnam(user)
        if folder.stat().st_uid != owner.pw_uid:
            for _, folders, files, place in os.fwalk(folder, follow_symlinks=False):
                for name in (*folders, *files):
                    os.chown(name, owner.pw_uid, owner.pw_gid, dir_fd=place, follow_symlinks=False)
            os.chown(folder, owner.pw_uid, owner.pw_gid)  # last: a walk that was cut short is begun again
    return folder


def wait_for(answers: Callable[[], bool], folder: Path, service: str, *, seconds: float = 300) -> None:
    """Wait until a service answers, whoever started it.

    Raises:
        Failure: it ended, or takes longer; with the end of its log.
    """
    limit = time.monotonic() + seconds
    while not answers():
        alive = processes(folder, service)
        if not alive or time.monotonic() > limit:
            log = folder / f"{service}.log"
            last = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
            raise Failure(f"{service} {'does not answer' if alive else 'has ended'}; the end of {log}:\n{last}")
        time.sleep(0.2)


def processes(folder: Path, service: str) -> list[int]:
    """Return the processes of a service that run on this machine."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _marked(int(path.name), folder, service)]


def end(folder: Path, service: str, *steps: tuple[signal.Signals, float]) -> bool:
    """End a service and return whether any process of it ran.

    Args:
        folder: Of the services.
        service: Its name.
        steps: A signal, and how many seconds it has before the next; only the topmost process gets it.

    Raises:
        Failure: it still runs after all of them.
    """
    ran = bool(processes(folder, service))
    for number, seconds in steps:
        told: set[int] = set()
        limit = time.monotonic() + seconds
        while (found := processes(folder, service)) and time.monotonic() < limit:
            for pid in {pid for pid in found if _parent(pid) not in found} - told:
                _send(pid, number, folder, service)
                told.add(pid)
            time.sleep(0.1)
        if not found:
            return ran
    raise Failure(f"{service} does not end (process {processes(folder, service)}); see {folder / service}.log")


def _send(pid: int, number: signal.Signals, folder: Path, service: str) -> None:
    try:
        handle = os.pidfd_open(pid)  # from here on the number cannot come to mean another process
    except ProcessLookupError:
        return
    try:
        if _marked(pid, folder, service):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _marked(pid: int, folder: Path, service: str) -> bool:
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except (PermissionError, FileNotFoundError, ProcessLookupError):  # another user's, or gone
        return False
    return f"{MARK}={service}@{folder}".encode() in content.split(b"\0")


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
