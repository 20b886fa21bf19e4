"""Real users of this machine, which the tests make and remove, and `difair` run as one of them.

A command is forked from the process of `tests/forked.py` that has imported everything as root. The child gives up root
for good (groups, all three user and group ids), so that it can do what the user can, and nothing else. What it imports
late, and the jobs that it starts, need the package, the environment and the interpreter: where these lie below a folder
that only root may enter, the child enters a mount namespace of its own in which the folder above shows them alone.
"""

import contextlib
import ctypes
import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "difairsec"
_NAME = re.compile(rf"{_PREFIX}-(\d+)-\w+")
_TRIES = 20
_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x00020000, 4096, 16384, 1 << 18
_PR_SET_DUMPABLE = 4
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """One user of the machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    """All groups, the own one included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """Two users with a common group, and one who is not in it."""

    group: int
    victim: User
    colleague: User
    stranger: User


def lacking() -> str:
    """Return why no users can be made here; nothing: they can."""
    if os.geteuid() != 0:
        return "only root can make users"
    missing = [name for name in ("useradd", "userdel", "groupadd", "groupdel") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not on this machine"
    if (closed := hidden_by()) and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True, check=False
    ).returncode:
        return f"{closed[0]} is closed to other users, and root may make no mount namespace here"
    return ""


@contextlib.contextmanager
def team(homes: Path) -> Iterator[Team]:
    """Make the users, whose homes are said to be below a folder, and remove them at the end of the block."""
    _remove(lambda pid: not Path(f"/proc/{pid}").exists())  # of a run that was killed
    common, own = f"{_PREFIX}-{os.getpid()}-team", f"{_PREFIX}-{os.getpid()}"
    try:
        _run("groupadd", common)
        for role in ("victim", "colleague", "stranger"):
            more = () if role == "stranger" else ("--groups", common)
            where = ("--no-create-home", "--home-dir", str(homes / role), "--shell", "/bin/sh")
            _run("useradd", "--no-log-init", "--user-group", *where, *more, f"{own}-{role}")
        yield Team(
            group=grp.getgrnam(common).gr_gid,
            victim=_user(f"{own}-victim"),
            colleague=_user(f"{own}-colleague"),
            stranger=_user(f"{own}-stranger"),
        )
    finally:
        _remove(lambda pid: pid == os.getpid())


def _user(name: str) -> User:
    entry = pwd.getpwnam(name)
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return User(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)


def _remove(meant: Callable[[int], bool]) -> None:
    users = [entry for entry in pwd.getpwall() if (found := _NAME.fullmatch(entry.pw_name)) and meant(int(found[1]))]
    for entry in users:
        end_processes(entry.pw_uid)
        _run("userdel", entry.pw_name, check=False)
    groups = [entry.gr_name for entry in grp.getgrall() if (found := _NAME.fullmatch(entry.gr_name))]
    for name in groups:
        if meant(int(name.split("-")[1])):
            _run("groupdel", name, check=False)


def _run(*words: str, check: bool = True) -> None:
    """Run a command that changes the list of users; two at once get in each other's way."""
    for _ in range(_TRIES):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0 or "lock" not in done.stderr:
            break
        time.sleep(0.5)
    assert done.returncode == 0 or not check, f"{words}: {done.stderr}"


def end_processes(uid: int) -> None:
    """End what a user of the tests still runs."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == uid:
                os.kill(int(path.name), signal.SIGKILL)


@contextlib.contextmanager
def acting(user: User, *, umask: int = 0o007) -> Iterator[None]:
    """Let this process touch files as a user does, for the block."""
    groups, before = os.getgroups(), os.umask(umask)
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


def become(user: User) -> None:
    """Be a user from here on; there is no way back."""
    _show_code_to(user)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    _libc().prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # or what is below /proc/self would still be root's
    os.umask(0o022)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _needed() -> list[Path]:
    """Return the folders that commands and their jobs read: the checkout, the environment, the interpreter."""
    named = {REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parents[1]}
    resolved = sorted({path.resolve() for path in named})
    return [path for path in resolved if not any(path.is_relative_to(other) for other in resolved if other != path)]


def hidden_by() -> list[Path]:
    """Return the folders above these that only root may enter, the uppermost ones."""
    closed = sorted(
        {above for path in _needed() for above in (path, *path.parents) if not above.stat().st_mode & 0o001}
    )
    return [path for path in closed if not any(path.is_relative_to(other) for other in closed if other != path)]


def _show_code_to(user: User) -> None:
    """Let this process and its children see the needed folders where they are, whoever they become."""
    closed = hidden_by()
    if not closed:
        return
    libc = _libc()

    def checked(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: {closed[0]} cannot be shown to {user.name}")

    def mount(source: str, target: str, kind: str | None, flags: int) -> None:
        words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
        checked(libc.mount(*words, ctypes.c_ulong(flags), b"mode=0755" if kind == "tmpfs" else None))

    checked(libc.unshare(_CLONE_NEWNS))
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    for above in closed:
        inside = [path for path in _needed() if path.is_relative_to(above)]
        held = {path: os.open(path, os.O_PATH) for path in inside}
        mount("tmpfs", str(above), "tmpfs", 0)
        for path, number in held.items():
            for folder in (*reversed(path.relative_to(above).parents), path.relative_to(above)):
                (above / folder).mkdir(mode=0o755, exist_ok=True)
            mount(f"/proc/self/fd/{number}", str(path), None, _MS_BIND | _MS_REC)
            os.close(number)
