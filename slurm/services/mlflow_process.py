"""The process of the team's server: MLflow with accounts. `server.py` starts it and says the rest on standard input.

What is said there holds passwords. They come into this process only, and not into the environment that it began with,
which /proc shows and which a reader of files would find.
"""

import json
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difair_hpc.runs import mlflow_app
from difair_hpc.runs.door import App, Door, guarded
from difair_hpc.runs.fence import Fence

AUTH = """\
[mlflow]
database_uri = {database}
admin_username = admin
# Who has an account sees every study; only who made one, and the admin, may change it.
default_permission = READ
# A password is checked once a minute, not with every request: the check takes tens of milliseconds.
auth_cache_ttl_seconds = 60
"""
CHOSEN = re.compile(rf"{mlflow_app.PROXIED}:/(?!\d+(/|$))\w[\w.-]*(/\w[\w.-]*)*")
"""Places that an account may choose for an experiment: kept by this server, and in no other experiment's folder, which
has the experiment's number for a name."""


def main() -> None:
    """Serve until a signal ends it."""
    order: dict[str, Any] = json.load(sys.stdin)
    own = Path(order["own"])
    for left in own.iterdir():  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    mlflow_app.own_temporary_files(own)
    settings = own / "auth.ini"
    settings.write_text(AUTH.format(database=order["accounts"].replace("%", "%%")), "utf-8")
    os.environ |= {
        "PGPASSWORD": order["database"],
        "PGREQUIREAUTH": "scram-sha-256",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
    }
    door = Door(names=order["names"], secret=None, anybody=["/health"])
    host, port = order["host"], order["port"]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as ears:
        app = guarded(_application(order, door), door)
        mlflow_app.serve(app, ears=ears, quiet=False)


def _application(order: Mapping[str, Any], door: Door) -> App:
    mlflow_app.prepare(
        store=order["store"],
        fences=[Fence(Path(order["artifacts"]))],
        names=door.names,
        proxied=True,
        experiments=lambda place: CHOSEN.fullmatch(place) is not None,
        models=lambda place: place.startswith(f"{mlflow_app.PROXIED}:/"),  # MLflow wants it below the run's own place
    )
    os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"] = order["admin"]
    try:
        from mlflow.server import auth
        from mlflow.server.auth import routes

        app: App = auth.create_app()
    finally:
        del os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    auth.auth_config = auth.auth_config._replace(admin_password=None)
    _check_at_one_pace(auth)
    for path in (routes.LIST_USERS, routes.AJAX_LIST_USERS):
        auth.BEFORE_REQUEST_VALIDATORS[path, "GET"] = lambda: False  # of which the admin is not asked
    return app


def _check_at_one_pace(auth: Any) -> None:
    """Let a login with an unknown name take as long as one with a wrong password: else names can be found out."""
    from mlflow.server.auth.db.models import SqlUser
    from werkzeug.security import check_password_hash, generate_password_hash

    nobodys = generate_password_hash(secrets.token_hex(32))

    def authenticate_user(username: str, password: str, *, use_primary: bool = False) -> bool:
        with auth.store.ManagedSessionMaker(read_only=not use_primary) as session:
            row = session.query(SqlUser.password_hash).filter(SqlUser.username == username).one_or_none()
        fits = check_password_hash(row[0] if row else nobodys, password)
        return fits and row is not None

    auth.store.authenticate_user = authenticate_user


if __name__ == "__main__":
    main()
