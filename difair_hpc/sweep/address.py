"""The settings `storage=` and `tracking_uri=`: which addresses are possible, and what may be shown of a wrong one."""

import re
from urllib.parse import urlsplit

from difair_hpc.errors import InvalidValue


def checked(address: str) -> str:
    """Return the address if it is possible.

    Raises:
        InvalidValue: it is no PostgreSQL URL, or holds a password; which then is not in the message.
    """
    if not address:
        return address
    shown = without_secret(address)
    if not _names_a_database(address):
        allowed = "nothing (a journal in the study's folder) or postgresql://HOST:PORT/DATABASE"
        raise InvalidValue("storage", shown, allowed)
    if shown != address:
        advice = (
            "Files and lists of processes would show it; put it into ~/.pgpass or PGPASSWORD, where libpq looks for it."
        )
        raise InvalidValue("storage", shown, "a URL without a password", advice=advice)
    return address


_STORES = ("sqlite", "postgresql", "mysql", "mssql", "file", "databricks", "uc")
"""Where MLflow can keep runs beside its servers, as an address begins."""


def checked_tracking(address: str) -> str:
    """Return the address of MLflow's store or server if it is possible and holds no password.

    Raises:
        InvalidValue: MLflow has no such store; or it holds a password, or a user, which then is not in the message.
    """
    scheme, colon, rest = address.partition(":")
    if address in ("", "none") or (scheme == "file" and colon):
        return address
    if scheme in ("sqlite", "sqlite+pysqlite") and colon:
        return _checked_sqlite(address)
    shown = re.sub(r"^(https?://)[^/?#]*@", r"\1***@", without_secret(address))
    if shown != address:
        advice = (
            "Files and lists of processes would show them; MLflow looks for them in ~/.mlflow/credentials (mode 600) "
            "and in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and PostgreSQL's library in ~/.pgpass."
        )
        raise InvalidValue("tracking_uri", shown, "an address without user and password", advice=advice)
    if scheme in ("http", "https") and colon:
        possible = rest.startswith("//") and _has_host(address)
    else:
        possible = not colon or "/" in scheme or scheme.partition("+")[0] in _STORES
    if not possible:
        allowed = "none, http://HOST:PORT, https://HOST, sqlite:////FOLDER/FILE.db or another address of MLflow's"
        advice = f"Did you mean http://{address}?" if rest.partition("/")[0].isdecimal() else ""
        raise InvalidValue("tracking_uri", shown, allowed, advice=advice)
    return address


def _checked_sqlite(address: str) -> str:
    path, question, query = re.sub(r"^sqlite(\+pysqlite)?:///", "", address).partition("?")
    settings = not question or re.fullmatch(r"\w+=\w+(&\w+=\w+)*", query)
    if path == address or not path or not settings:
        advice = "In an address % is written as %25, and ? as %3F."
        raise InvalidValue("tracking_uri", address, "sqlite:////FOLDER/FILE.db", advice=advice)
    return address


def _has_host(address: str) -> bool:
    try:
        url = urlsplit(address)
        return bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def without_secret(text: str) -> str:
    """Return the text with stars for the password of a URL in it; rather too many of them than too few."""
    return re.sub(r"(password=)[^&\s]*", r"\1***", re.sub(r"(//[^:/@]*):.*@", r"\1:***@", text))


def _names_a_database(address: str) -> bool:
    try:
        url = urlsplit(address)
        known = url.scheme in ("postgresql", "postgresql+psycopg") and (url.port is None or url.port > 0)
    except ValueError:
        return False
    return known and len(url.path) > 1
