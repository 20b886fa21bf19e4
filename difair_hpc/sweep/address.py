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


def checked_tracking(address: str) -> str:
    """Return the address of MLflow's store or server if it holds no password.

    Raises:
        InvalidValue: it holds one, or a user; which then are not in the message.
    """
    if address.startswith(("sqlite:", "file:")):
        return address
    shown = re.sub(r"^(https?://)[^/?#]*@", r"\1***@", without_secret(address))
    if shown != address:
        advice = (
            "Files and lists of processes would show them; MLflow looks for them in ~/.mlflow/credentials (mode 600) "
            "and in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and PostgreSQL's library in ~/.pgpass."
        )
        raise InvalidValue("tracking_uri", shown, "an address without user and password", advice=advice)
    return address


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
