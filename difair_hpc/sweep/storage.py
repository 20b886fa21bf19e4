"""Optuna's storages: a journal in the study's folder, or a PostgreSQL database. All in them can be rebuilt."""

import hashlib
import json
import re
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from difair_hpc.errors import StorageUnreachable, UserError
from difair_hpc.files import append_bytes, read_bytes, read_json, write_atomically
from difair_hpc.folders import exists, remove, rename
from difair_hpc.nofollow import NotAFile

Place = Path | str
"""A journal, or the URL of a PostgreSQL database."""

_LOCK = 0xD1FA12
"""Number of the advisory lock under which tables are made: two that make them at once get in each other's way."""


def open_storage(place: Place) -> BaseStorage:
    """Open the storage, and make it if it is absent; a journal that cannot be read is moved aside.

    Raises:
        UserError: the driver for PostgreSQL is not installed.
    """
    return _journal(place.absolute()) if isinstance(place, Path) else _database(place)


def add_trials(place: Place, storage: BaseStorage, study: str, trials: Sequence[FrozenTrial]) -> None:
    """Add trials to an Optuna study: to a journal all at once, since it is synced to disk with every call."""
    if isinstance(place, str):
        optuna.load_study(study_name=study, storage=storage).add_trials(trials)
        return
    file = _Sealed(place.absolute())
    memory = _Memory(file.read_logs(0))
    held = len(memory.logs)
    optuna.load_study(study_name=study, storage=JournalStorage(memory)).add_trials(trials)
    file.append_logs(memory.logs[held:])


_UNREADABLE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    optuna.exceptions.OptunaError,
)
"""What Optuna raises on a journal that it cannot replay; one torn line makes it refuse all of it for good."""


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Say in one message that the storage cannot be used: gone, full, refused, damaged, or a study in it deleted.

    Raises:
        StorageUnreachable: names the storage and what to do.
    """
    try:
        yield
    except (SQLAlchemyError, OSError, RuntimeError, *_UNREADABLE) as error:
        advice = "" if isinstance(place, Path) else " storage= (nothing) takes a journal in the study's folder instead."
        raise StorageUnreachable(
            f"Optuna's storage {place} cannot be used: {_reason(error)}. Runs that were started go on, and nothing is "
            f"lost: repeat the command when it can be used again.{advice}"
        ) from error


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def connects(url: str) -> None:
    """Connect to a PostgreSQL database and leave it as it is.

    Raises:
        UserError: the driver is not installed.
        StorageUnreachable: it cannot be used.
    """
    with explained(url), _engine(url).connect():
        pass


def _full(url: str) -> str:
    """Return the URL with the driver that is used."""
    return re.sub("^postgresql:", "postgresql+psycopg:", url)


def _demands(url: str) -> dict[str, str | int]:
    """Return what a connection has to be like.

    A server that says what it is by scram learns no password, nor can it be another than ours. Any other way gives the
    password, or what it can be guessed from, to whoever listens there. On a socket the server may know its user anyway.
    """
    found = sqlalchemy.make_url(url)
    host = found.query.get("host") or found.host or ""
    on_socket = isinstance(host, str) and host.startswith("/") and "," not in host
    return {"connect_timeout": 10, "require_auth": "scram-sha-256,none" if on_socket else "scram-sha-256"}


def _engine(url: str) -> sqlalchemy.Engine:
    try:
        return sqlalchemy.create_engine(_full(url), poolclass=NullPool, connect_args=_demands(url))
    except ImportError as error:
        raise UserError(f"storage={url} needs psycopg: pip install 'difair-hpc[postgres]'.") from error


def _database(url: str) -> BaseStorage:
    with _engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        backend = RDBStorage(_full(url), engine_kwargs={"pool_pre_ping": True, "connect_args": _demands(url)})
    storage = optuna.storages.get_storage(backend)
    weakref.finalize(storage, backend.engine.dispose)
    return storage


def _journal(path: Path) -> JournalStorage:
    try:
        return JournalStorage(_Sealed(path))
    except (NotAFile, *_UNREADABLE):
        rename(path, path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return JournalStorage(_Sealed(path))


class _Sealed(BaseJournalBackend):
    """A journal in Optuna's own format, with its length and digest in a file beside it: a flipped bit is noticed.

    Whatever others have appended is taken as it is; what was there before must not change. Optuna's own class for such
    a file follows links, and locks it against others who write; here that is the holder of the study's lease alone.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._seal = path, path.with_name(f"{path.name}.sha256")
        self._size, self._digest = 0, hashlib.sha256()
        self._logs: list[dict[str, Any]] = []
        self._begun = b""
        """What follows the last whole line."""
        if not exists(path):
            remove(self._seal)
            append_bytes(path, b"")
        if (known := read_json(self._seal, {"size": int, "sha256": str})) is not None:
            self._take(known["size"])
            if known["sha256"] != self._digest.hexdigest():
                raise ValueError("it was changed")
        self._take()
        if self._begun:
            raise ValueError("torn last line")

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        self._take()
        yield from self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._take()
        append_bytes(self._path, "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode())
        self._take()
        write_atomically(self._seal, json.dumps({"size": self._size, "sha256": self._digest.hexdigest()}))

    def _take(self, size: int | None = None) -> None:
        """Take in what follows in the file, up to a length of `size` bytes."""
        new = read_bytes(self._path, begin=self._size)
        if size is not None and len(new) < size - self._size:
            raise ValueError("a part of it is missing")
        new = new if size is None else new[: size - self._size]
        self._digest.update(new)
        self._size += len(new)
        *lines, self._begun = (self._begun + new).split(b"\n")
        self._logs += map(json.loads, lines)


class _Memory(BaseJournalBackend):
    """A journal in memory, to be written to a file all at once."""

    def __init__(self, logs: Iterable[dict[str, Any]]) -> None:
        self.logs = list(logs)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs
