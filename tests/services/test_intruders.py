"""Who is answered by a team's server, and about what: a stranger, an account, a page of another address."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services.accounts import PROXY, RUNS, ask
from tests.services.made import Services

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("services"),
]

ROUTES = """
import json, os
from mlflow.server.auth import create_app
from mlflow.server import app as flask_app

def native(routes, prefix=""):
    for route in routes:
        if inner := getattr(route, "original_router", None):
            yield from native(inner.routes, prefix + route.include_context.prefix)
        elif getattr(route, "methods", None):
            yield prefix + route.path, sorted(route.methods)

own = [*native(create_app().routes)]
print(json.dumps([*own, *((rule.rule, sorted(rule.methods)) for rule in flask_app.url_map.iter_rules())]))
"""
"""Prints each path of MLflow with accounts, and its methods."""


def test_nothing_is_answered_without_a_login(team: Services, tmp_path: Path) -> None:
    settings = "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///a.db\nadmin_username = admin\n"
    (tmp_path / "auth.ini").write_text(f"{settings}admin_password = not-the-servers-own\n")
    more = {
        "MLFLOW_AUTH_CONFIG_PATH": "auth.ini",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_FILE_STORE": "sqlite:///b.db",
    }
    told = subprocess.run(
        [sys.executable, "-P", "-c", ROUTES],
        cwd=tmp_path,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=True,
    )
    routes = json.loads(told.stdout)
    paths = {path for path, _ in routes}
    assert len(paths) > 300
    assert {"/get-artifact", "/signup", f"{PROXY}/{{artifact_path:path}}", "/v1/traces"} <= paths
    assert any("assistant" in path for path in paths)
    opened: list[str] = []
    for path, _ in [*routes, ("/nothing", []), ("/", [])]:
        filled = path.replace("<path:", "<").replace("{", "<").replace("}", ">")
        asked = "/".join("1" if part.startswith("<") else part for part in filled.split("/"))
        methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        opened += [asked for method in methods if team.status(asked, method=method) != 401]
    assert set(opened) == {"/health"}


@pytest.mark.parametrize("user", ["alice", "bob", "admin"])
def test_other_names_and_other_pages_are_refused_to_everybody(team: Services, user: str) -> None:
    port = team.address["tracking_uri"].rpartition(":")[2]
    rights = {"user": user, "password": team.secrets()[user]}
    for host in ("evil.example", f"10.evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}0"):
        for path in (RUNS, "/version", "/health"):
            assert team.status(path, **rights, Host=host) == 403
    for origin in ("http://evil.example", "http://localhost:6000", "http://127.0.0.1:6000", "null"):
        for method in ("GET", "POST"):
            assert team.status(RUNS, method=method, **rights, Origin=origin) == 403


def test_the_list_of_users_is_the_admins(team: Services) -> None:
    for version in ("api", "ajax-api"):
        path = f"/{version}/2.0/mlflow/users/list"
        assert ask(team, "alice", path)[0] == 403
        status, found = ask(team, "admin", path)
        assert status == 200
        assert {one["username"] for one in found["users"]} == {"admin", "alice", "bob"}


def test_an_unknown_name_takes_as_long_as_a_wrong_password(team: Services) -> None:
    """It took a twentieth of the time: whoever had no account could find out who has one."""

    def once(user: str, path: str) -> float:
        begin = time.perf_counter()
        assert team.status(path, user=user, password="wrong") == 401
        return time.perf_counter() - begin

    for path in (RUNS, f"{PROXY}/1/x"):
        for _ in range(3):  # a busy machine may take a second look
            times = [(once("alice", path), once("mallory", path)) for _ in range(9)]
            known_name, unknown = (statistics.median(one) for one in zip(*times, strict=True))
            if 0.4 < unknown / known_name < 2.5:
                break
        assert 0.4 < unknown / known_name < 2.5, (path, known_name, unknown)


@pytest.mark.parametrize("path", [
    "/ajax-api/3.0/mlflow/assistant/config", "/api/2.0/mlflow/webhooks", "/api/3.0/mlflow/gateway/secrets/list",
    "/ajax-api/2.0/mlflow/gateway-proxy", "/v1/traces",
])  # fmt: skip
def test_what_starts_programs_or_asks_other_servers_is_closed_to_the_admin_too(team: Services, path: str) -> None:
    assert ask(team, "admin", path)[0] == 404


def test_optunas_password_is_sent_to_no_other_host(team: Services) -> None:
    path = team.folder / "optuna.pgpass"
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [line.split(":") for line in path.read_text().splitlines()]
    port = str(json.loads((team.folder / "ports.json").read_text())["postgres"])
    assert {(host, *rest) for host, *rest, _ in lines} == {
        (host, port, "optuna", "optuna") for host in ("127.0.0.1", "localhost")
    }
