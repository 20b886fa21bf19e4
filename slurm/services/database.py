"""One PostgreSQL for MLflow, MLflow's users and Optuna, in a folder of the user's own; needs no root.

Roles: `difair` makes the others, `mlflow` owns MLflow's two databases, `optuna` owns Optuna's. Each reaches its own.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from owned import EVERYWHERE, as_user, claim, end, processes, spawn, wait_for
from psycopg import sql

from difair_hpc.errors import Failure, InvalidValue, UserError

OWNERS = {"mlflow": "mlflow", "mlflow_auth": "mlflow", "optuna": "optuna"}
"""Database to role."""
ACCESS = """\
# Written once, when the folder was made: yours to edit.
local all    all                   scram-sha-256
host  all    all    127.0.0.1/32   scram-sha-256
host  all    all    ::1/128        scram-sha-256
# Other machines, where --host lets it listen to them: Optuna's database alone.
host  optuna optuna samenet        scram-sha-256
"""
USER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root; Debian's package makes this user."""


def url(folder: Path, port: int, database: str) -> str:
    """Return the address of a database on the local socket; the password is in no address."""
    return f"postgresql+psycopg://{OWNERS[database]}@/{database}?host={quote(f'{folder}/postgres')}&port={port}"


def start(
    folder: Path, port: int, passwords: Mapping[str, str], *, host: str, takeover: bool, group: int | None
) -> bool:
    """Start PostgreSQL unless it runs, make what is missing in it, and return whether it was started.

    Args:
        folder: Of the services.
        port: Its port.
        passwords: Of its roles.
        host: What it listens to.
        takeover: Whether a start on another machine is over for certain.
        group: Who may pass to its socket beside itself, where it is another user's; None: nobody.
    """
    base = folder / "postgres"
    if len(f"{base}/.s.PGSQL.{port}") > 107:
        raise InvalidValue("--folder", folder, "a shorter path: the name of a socket has at most 107 characters")
    begins = not processes(folder, "postgres")
    for left in reversed(range(10)):
        if not processes(folder, "postgres"):
            _begin(folder, port, passwords, host=host, takeover=takeover)
        try:
            wait_for(lambda: _answers(base, port, passwords), folder, "postgres")
            break
        except Failure:
            # After one that was killed the next ends at once, until the children of the first have noticed.
            if not left or processes(folder, "postgres"):
                raise
            time.sleep(2)
    if group is not None:
        os.chown(base, -1, group)
        base.chmod(0o710)  # to pass to the socket; the data are PostgreSQL's alone
    with _admin(base, port, passwords) as connection:
        for role in sorted(set(OWNERS.values())):
            _make_role(connection, role, passwords[role])
        for database, owner in OWNERS.items():
            _make_database(connection, database, owner)
        for database in ("postgres", "template1"):  # which everybody may enter by default, and what is made there stays
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
    return begins


def stop(folder: Path) -> bool:
    """End PostgreSQL without waiting for those who are connected; return whether it ran."""
    return end(folder, "postgres", (signal.SIGINT, 60), (signal.SIGQUIT, 10))


def _begin(folder: Path, port: int, passwords: Mapping[str, str], *, host: str, takeover: bool) -> None:
    base = folder / "postgres"
    claim(folder, takeover=takeover)
    base.mkdir(exist_ok=True)
    if USER:
        shutil.chown(base, USER)
    if not (base / "data").exists():
        _make(base, passwords["postgres"])
    listens = "*" if host in EVERYWHERE else ",".join(sorted({"127.0.0.1", host} - {"localhost"}))
    words = ["-D", f"{base}/data", "-k", f"{base}", "-p", str(port), "-c", f"listen_addresses={listens}"]
    spawn([_program("postgres"), *words], folder, "postgres", {}, user=USER)


def _make(base: Path, password: str) -> None:
    new, file = base / "data.new", base / "initdb.password"
    shutil.rmtree(new, ignore_errors=True)  # of a start that was cut short
    file.write_text(password, "utf-8")
    if USER:
        shutil.chown(file, USER, USER)
    words = ["-D", f"{new}", "-U", "difair", "-A", "scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command = [_program("initdb"), *words, f"--pwfile={file}"]
    try:
        made = subprocess.run(command, cwd=base, capture_output=True, text=True, check=False, **as_user(USER))
    finally:
        file.unlink()
    if made.returncode:
        advice = f"\nAs root it runs as user {USER}: choose --folder=FOLDER where everybody may pass." if USER else ""
        raise Failure(f"initdb made no database in {base}: {made.stderr.strip()}{advice}")
    (new / "pg_hba.conf").write_text(ACCESS, "utf-8")
    new.rename(base / "data")


def _program(name: str) -> str:
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else Path("/usr/lib/postgresql").glob("*/bin")
    place = max((place for place in places if (place / "initdb").exists()), default=None)
    if place is None:
        raise UserError("PostgreSQL's server is not here: apt-get install postgresql, or module load postgresql.")
    return str(place / name)


def _admin(base: Path, port: int, passwords: Mapping[str, str]) -> psycopg.Connection:
    return psycopg.connect(
        host=f"{base}", port=port, user="difair", dbname="postgres", password=passwords["postgres"], autocommit=True
    )


def _answers(base: Path, port: int, passwords: Mapping[str, str]) -> bool:
    try:
        _admin(base, port, passwords).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise Failure(f"passwords.json does not belong to the database in {base}; bring its own back.") from error
        return False
    return True


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        return
    # Only what the password is checked with goes over, as psql's \password does it: a statement may reach a log.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))


def _make_database(connection: psycopg.Connection, database: str, owner: str) -> None:
    name = sql.Identifier(database)
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(owner)))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
