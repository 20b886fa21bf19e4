"""Whom the door before MLflow's server lets in, and to what."""

import base64
from collections.abc import Mapping

import pytest

from difair_hpc.runs.door import Door, digest

OWN = "127.0.0.1:5000"
DOOR = Door(names=[OWN, "localhost:5000"], secret=digest("right"))
RUNS = "/ajax-api/2.0/mlflow/runs/search"


def login(password: str, *, user: str = "difair") -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


RIGHT = login("right")


def status(path: str, *headers: Mapping[str, str], door: Door = DOOR, method: str = "GET", host: str = OWN) -> int:
    """Return what is answered without MLflow; 200: it is asked."""
    refusal = door.refusal(method, path, {"host": host} | {key: one[key] for one in headers for key in one})
    return 200 if refusal is None else refusal.status.value


@pytest.mark.parametrize("given", [
    "", "Basic", "Basic ", "Basic !!", "Basic cmlnaHQ=", "Bearer right", "right", "Digest right",
    *(login(word)["authorization"] for word in ("", "wrong", "right ", "Right")),
])  # fmt: skip
@pytest.mark.parametrize("path", [RUNS, "/", "/health", "/version", "/static-files/main.js", "/nothing", "*", ""])
def test_nothing_is_answered_without_the_password(path: str, given: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE"):
        assert status(path, {"authorization": given}, method=method) == 401


def test_the_password_opens_whatever_the_user() -> None:
    assert status(RUNS, RIGHT) == status(RUNS, login("right", user="")) == 200
    assert status(RUNS, {"authorization": RIGHT["authorization"].replace("Basic", "basic")}) == 200


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "127.0.0.1:5001", "127.0.0.1:5000, 127.0.0.1:5000"])
def test_another_name_is_refused_even_for_the_health(host: str) -> None:
    for path in (RUNS, "/health", "/version"):
        assert status(path, RIGHT, host=host) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:6000", "http://localhost", "null", "x"])
def test_a_page_of_another_address_is_refused_another_port_of_this_machine_too(origin: str) -> None:
    for method in ("GET", "POST"):
        assert status(RUNS, RIGHT, {"origin": origin}, method=method) == 403
    assert status(RUNS, RIGHT, {"origin": f"http://{OWN}"}, method="POST") == 200


def test_what_a_foreign_page_embeds_is_refused_and_a_link_from_it_is_followed() -> None:
    for site in ("cross-site", "same-site"):
        for mode, dest in (("no-cors", "script"), ("no-cors", "image"), ("navigate", "iframe")):
            said = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
            assert status(RUNS, RIGHT, said) == 403
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert status("/", RIGHT, link) == 200
        assert status("/", RIGHT, link, method="POST") == 403


@pytest.mark.parametrize("path", [
    "/ajax-api/3.0/mlflow/assistant/message", "/ajax-api/2.0/mlflow/gateway-proxy", "/gateway/x/mlflow/invocations",
    "/ajax-api/3.0/jobs/1", "/api/2.0/mlflow/webhooks", "/v1/traces", "/api/3.0/mlflow/mcp-servers/x", "/signup",
    "/api/2.0/mlflow/runs/create-promptlab-run", "/api/3.0/mlflow/scorer/invoke", "/api/3.0/mlflow/demo/generate",
    "/api/2.0/mlflow-artifacts/mpu/create/1", "/api/2.0/mlflow/runsx", "/x/api/2.0/mlflow/runs/get", "//graphql",
])  # fmt: skip
def test_what_no_study_needs_is_closed(path: str) -> None:
    assert status(path, RIGHT, method="POST") == 404


def test_reports_to_mlflows_makers_are_not_passed_on() -> None:
    path = "/ajax-api/3.0/mlflow/ui-telemetry"
    assert status(path, RIGHT) == 200
    assert status(path, RIGHT, method="POST") == 404


def test_where_mlflow_checks_accounts_the_door_wants_to_see_one() -> None:
    team = Door(names=[OWN], secret=None, anybody=["/health"])
    assert status(RUNS, door=team) == status("/static-files/main.js", door=team) == status("/version", door=team) == 401
    assert status(RUNS, login("whatever"), door=team) == 200
    assert status("/health", door=team) == 200
    assert status("/health", door=team, host="evil.example") == 403
