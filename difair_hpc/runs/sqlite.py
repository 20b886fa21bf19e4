"""Addresses of SQLite files for MLflow, whatever signs their folders have."""

from pathlib import Path

_PREFIX = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """Return the address of a file; % and ? would mean something else in one."""
    if not {"%", "?"} & set(str(path)):
        return f"{_PREFIX}{path}"
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def sqlite_path(uri: str) -> Path | None:
    """Return the file that an address names; None where it names none."""
    if not uri.startswith(_PREFIX):
        return None
    name = uri.removeprefix(_PREFIX)
    if {"%", "?"} & set(name):
        from sqlalchemy import make_url

        name = make_url(uri).database or ""
    return Path(name) if name and name != ":memory:" else None


def absolute_uri(uri: str, folder: Path) -> str:
    """Return the address with the whole path of a file that it names as seen from `folder`: jobs stand elsewhere."""
    path = sqlite_path(uri)
    if path is None or path.is_absolute():
        return uri
    _, question, query = uri.partition("?")
    return f"{sqlite_uri(folder / path)}{question}{query}"
