"""An output root that was copied or moved: MLflow keeps absolute paths of artifacts in the store under it.

Unless they are rewritten, `cp -r outputs B; difair sync root=B` writes into the artifacts of the original.
"""

import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from difair_hpc.errors import Failure
from difair_hpc.runs.shown import NOTE
from difair_hpc.runs.sqlite import sqlite_path

_log = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"
"""Folder of an output root with what MLflow has of its runs beside numbers."""

_PATHS = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
"""Tables of MLflow's store and their columns that hold addresses of artifacts."""


def artifact_place(root: Path, study: str) -> str:
    """Return the address of a study's artifacts under its output root."""
    return (root.absolute() / ARTIFACTS / study).as_uri()


def adopt(root: Path, uri: str) -> None:
    """Let the store under the root name this root's folder of artifacts, if it names that of another place.

    A store elsewhere is left alone: other roots may use it. So is a place that is this folder by another name (a
    symbolic link, another mount).

    Args:
        root: Output root.
        uri: Of the MLflow store.

    Raises:
        Failure: the store cannot be written.
    """
    store = root.absolute() / "mlflow.db"
    if sqlite_path(uri) != store or not store.is_file():
        return
    try:
        with closing(sqlite3.connect(store)) as database:
            moved = _elsewhere(database, root)
            for old, new in moved.items():
                _rewrite(database, old, new)
            database.commit()
    except sqlite3.OperationalError as error:
        raise Failure(f"the MLflow store {store} cannot be brought to its new place: {error}.") from error
    except sqlite3.DatabaseError:  # no database: whoever opens it next says so, as of any other store
        return
    said = "the MLflow store of %s was made in %s: its artifacts are looked for here now"
    for old in moved:
        _log.warning(said, root, Path(_folder(old)).parent)


def _elsewhere(database: sqlite3.Connection, root: Path) -> Mapping[str, str]:
    """Return the folders of artifacts that the studies of the store name and this root does not have, with ours."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "experiments" not in tables:
        return {}
    own = (root.absolute() / ARTIFACTS).as_uri()
    places = (place for (place,) in database.execute("SELECT artifact_location FROM experiments"))
    olds = {place.rpartition("/")[0] for place in places if place and place.startswith("file:")}
    return {old: own for old in olds if old.endswith(f"/{ARTIFACTS}") and old != own and not _same(old, own)}


def _rewrite(database: sqlite3.Connection, old: str, new: str) -> None:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, column in _PATHS.items():
        if table in tables:
            change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
            database.execute(change, (new, len(old) + 1, len(old) + 1, f"{old}/"))
    words = tuple(str(Path(_folder(one)).parent) for one in (old, new))
    database.execute("UPDATE experiment_tags SET value = replace(value, ?, ?) WHERE key = ?", (*words, NOTE))


def _same(old: str, new: str) -> bool:
    """Whether two addresses are one folder."""
    first, second = _folder(old), _folder(new)
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)  # noqa: PTH110, PTH121


def _folder(address: str) -> str:
    return unquote(urlparse(address).path)
