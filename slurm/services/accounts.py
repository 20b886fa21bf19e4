"""Accounts of the server: made by its admin, each with a password of its own in a file to hand over."""

import base64
import http.client
import json
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from owned import passwords

from difair_hpc.errors import Failure, InvalidValue, UserError
from difair_hpc.files import write_atomically

FORM = "[mlflow]\nmlflow_tracking_username = {name}\nmlflow_tracking_password = {password}\n"
"""MLflow's own form of ~/.mlflow/credentials."""


def make(folder: Path, name: str, address: str) -> Path:
    """Return the file with the password of an account; make both if need be.

    Raises:
        UserError: the name is not possible, or no server was started.
        Failure: the server says no, or nothing.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name) or name == "admin":
        raise InvalidValue("user", name, "letters, digits and . _ - (and not admin, which is there)")
    if not address:
        raise UserError(f"no server was started in {folder}; start it first.")
    file, password, admin = folder / "users" / name, secrets.token_urlsafe(18), passwords(folder)["admin"]
    there = _ask(address, admin, "GET", f"get?username={name}") == HTTPStatus.OK
    if there and file.exists():
        return file
    method, what = ("PATCH", "update-password") if there else ("POST", "create")
    answer = _ask(address, admin, method, what, {"username": name, "password": password})
    if answer != HTTPStatus.OK:
        raise Failure(f"{address} made no account: {answer.value} {answer.phrase}.")
    file.parent.mkdir(exist_ok=True)
    return write_atomically(file, FORM.format(name=name, password=password))


def _ask(address: str, admin: str, method: str, what: str, content: Mapping[str, str] | None = None) -> HTTPStatus:
    rights = base64.b64encode(f"admin:{admin}".encode()).decode()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(
            method,
            f"/api/2.0/mlflow/users/{what}",
            body=json.dumps(content) if content else None,
            headers={"Authorization": f"Basic {rights}", "Content-Type": "application/json"},
        )
        return HTTPStatus(connection.getresponse().status)
    except OSError as error:
        raise Failure(f"{address} does not answer: {error}.") from error
    finally:
        connection.close()
