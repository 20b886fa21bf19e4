"""What tests ask a team's server as one of its accounts, and what they look at past it."""

import json
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.services.made import Services

RUNS = "/api/2.0/mlflow/experiments/search?max_results=10"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def a_run(services: Services, user: str, **named: str) -> tuple[str, str]:
    """Make an experiment and a run in it; return the numbers of both."""
    _, made = ask(services, user, "experiments/create", {"name": f"{user} {time.time_ns()}", **named})
    experiment = made["experiment_id"]
    return experiment, ask(services, user, "runs/create", {"experiment_id": experiment})[1]["run"]["info"]["run_id"]


def ask(services: Services, user: str, path: str, content: object = None) -> tuple[int, Any]:
    """Ask as an account; a path without / is one of MLflow's interface. Return status and content."""
    whole = path if path.startswith("/") else f"/api/2.0/mlflow/{path}"
    status, said = services.ask(whole, content, user=user, password=services.secrets()[user])
    return status, json.loads(said) if said[:1] == b"{" else said


def change(services: Services, statement: str, *values: str) -> None:
    """Write into MLflow's database, past the server."""
    ports, password = json.loads((services.folder / "ports.json").read_text()), services.secrets()["postgres"]
    with psycopg.connect(
        host="127.0.0.1", port=ports["postgres"], user="difair", dbname="mlflow", password=password
    ) as database:
        database.execute(statement, values)  # type: ignore[arg-type, unused-ignore]


def server(services: Services) -> Path:
    """Return what /proc has of the server's process."""
    mark = f"DIFAIR_SERVICES=mlflow@{services.folder}".encode()
    (found,) = (path for path in Path("/proc").glob("[0-9]*") if mark in environment(path).split(b"\0"))
    return found


def environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except (OSError, ProcessLookupError):
        return b""
