"""Optuna's storages: a journal in the study's folder, or a PostgreSQL database. All in them can be rebuilt."""

import hashlib
import json
import os
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
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from difair_hpc.errors import StorageUnreachable, UserError
from difair_hpc.files import read_json, write_atomically

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
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink(missing_ok=True)
    try:
        if path.exists() and not _ends_whole(path):
            raise ValueError("torn last line")
        return JournalStorage(_Sealed(path))
    except _UNREADABLE:
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return JournalStorage(_Sealed(path))


def _ends_whole(path: Path) -> bool:
    content = path.read_bytes()
    return not content or content.endswith(b"\n")


class _Sealed(JournalFileBackend):
    """A journal with its length and digest in a file beside it: Optuna would believe a flipped bit.

    Whatever others have appended is taken as it is; what was there before must not change.
    """

    def __init__(self, path: Path) -> None:
        seal = path.with_name(f"{path.name}.sha256")
        if not path.exists():
            seal.unlink(missing_ok=True)
        super().__init__(str(path))
        self._path, self._seal, self._size, self._digest = path, seal, 0, hashlib.sha256()
        if (known := read_json(seal)) is not None:
            self._take(known["size"])
            if known["sha256"] != self._digest.hexdigest():
                raise ValueError("it was changed")
        self._take()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._take()
        super().append_logs(logs)
        self._take()
        write_atomically(self._seal, json.dumps({"size": self._size, "sha256": self._digest.hexdigest()}))

    def _take(self, size: int | None = None) -> None:
        """Take into the digest what follows in the file, up to a length of `size` bytes."""
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < (self._size if size is None else size):
                raise ValueError("a part of it is missing")
            file.seek(self._size)
            new = file.read(-1 if size is None else size - self._size)
        self._digest.update(new)
        self._size += len(new)


class _Memory(BaseJournalBackend):
    """A journal in memory, to be written to a file all at once."""

    def __init__(self, logs: Iterable[dict[str, Any]]) -> None:
        self.logs = list(logs)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs
