"""Addresses of SQLite files for MLflow, whatever signs their folders have."""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from difair_hpc.errors import Failure, UserError
from difair_hpc.folders import make_folder, own_place
from difair_hpc.nofollow import is_shared

_PREFIX = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """Return the address of a file; % and ? would mean something else in one."""
    if not {"%", "?"} & set(str(path)):
        return f"{_PREFIX}{path}"
    from sqlalchemy import URL

    # With the driver's name, since MLflow makes the folder of a plain sqlite:/// address, and does not undo %3F.
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def is_sqlite(uri: str) -> bool:
    """Whether MLflow's store is a file of SQLite."""
    return uri.startswith(("sqlite:", "sqlite+pysqlite:"))


def sqlite_path(uri: str) -> Path | None:
    """Return the file that an address names; None where it names none."""
    if not is_sqlite(uri):
        return None
    name = uri.partition("///")[2]
    if {"%", "?"} & set(name):
        from sqlalchemy import make_url

        name = make_url(uri).database or ""
    return Path(name) if name and name != ":memory:" else None


def own_store(root: Path) -> Path:
    """Return the file of this user's MLflow store for an output root; it is filled from everybody's run folders."""
    return own_place(root) / "mlflow.db"


def absolute_uri(uri: str, folder: Path) -> str:
    """Return the address with the whole path of a file that it names as seen from `folder`: jobs stand elsewhere."""
    path = sqlite_path(uri)
    if path is None or path.is_absolute():
        return uri
    _, question, query = uri.partition("?")
    return f"{sqlite_uri(folder / path)}{question}{query}"


def make_store(uri: str, root: Path) -> None:
    """Make MLflow's tables in a file that is not there yet; to be called where its failures are `explained`.

    MLflow would do it with a first experiment in the working folder, which it writes into SQL as it stands: a folder
    with ' or : in its name ends that in an error, and a place that nobody chose would be on record.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    if os.path.lexists(path):
        if path.is_symlink() and is_shared(path.parent) or not path.is_file():
            raise UserError(f"{path} is no file of an MLflow store: remove it. {made_anew(path)}")
        return
    make_folder(path.parent)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    made: Callable[[str, str], Any] = SqlAlchemyStore
    made(uri, (root.absolute() / "mlartifacts").as_uri())._dispose_engine()


def schema_of(store: Path) -> tuple[str, str]:
    """Return the schema of MLflow's store in a file, and that of the MLflow that is installed.

    Raises:
        Failure: the file is not a database, or not one of MLflow's.
    """
    from mlflow.store.db.utils import _get_latest_schema_revision

    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise Failure(f"{store} is not an MLflow store ({error}). {made_anew(store)}") from error
    return str(row[0]) if row else "none", _get_latest_schema_revision()  # type: ignore[no-untyped-call]


def made_anew(store: Path) -> str:
    """Return how to replace a store that the installed MLflow cannot use; all in it comes from the run folders."""
    return f"Move {store} away, and difair sync --rebuild makes it anew from the run folders."
