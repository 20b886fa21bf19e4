"""MLflow's own server in this process, for `difair ui` and for a team: artifacts from chosen folders alone.

What a store says of the place of an artifact was written by whoever could write into the store. So the server has no
way to files but a `Fence`, and none to anything else (S3, FTP, other servers), whoever asks.
"""

import functools
import inspect
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.runs.door import App
from difair_hpc.runs.fence import Fence
from difair_hpc.runs.server import WITHOUT_JOBS

if TYPE_CHECKING:
    import socket

PROXIED = "mlflow-artifacts"
"""Scheme of places that a server keeps for its clients."""
_BY_NAME = re.compile(r"(models|runs):/[^/].*|[\w-]+", re.DOTALL)
"""What MLflow makes a place of, which is looked at when it is used, and the word that stands for a prompt."""


def prepare(
    *,
    store: str,
    fences: Sequence[Fence],
    names: Collection[str],
    proxied: bool,
    experiments: Callable[[str], bool],
    models: Callable[[str], bool],
) -> None:
    """Make this process ready to import MLflow's server; for once in a process.

    Args:
        store: Address of MLflow's store.
        fences: Where artifacts may be; new experiments have theirs in the first.
        names: Values of the Host header that are answered.
        proxied: Whether clients send artifacts to the server, rather than into the folder.
        experiments: Whether a client may choose this place for an experiment.
        models: Whether a client may register a model that is in this place.
    """
    import uvicorn  # noqa: F401 - which tells MLflow that this process is a server

    os.environ |= {
        **WITHOUT_JOBS,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_WORKSPACES": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}" for name in names),
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    from mlflow.server import constants

    first = fences[0].folder.as_uri()
    place = f"{PROXIED}:/" if proxied else first
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: store,
        constants.REGISTRY_STORE_URI_ENV_VAR: store,
        constants.ARTIFACT_ROOT_ENV_VAR: place,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: first,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true" if proxied else "false",
    }
    _close_all_but(fences)
    _check_new_places(experiments, models)
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, place)


def without_accounts() -> App:
    """Return MLflow's application as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a part of Starlette that MLflow uses, in the user's terminal
        from mlflow.server.fastapi_app import app

    found: App = app
    return found


def serve(app: App, *, ears: "socket.socket", quiet: bool) -> None:
    """Answer requests until a signal ends it; temporary files are in a folder that nobody else can open.

    Raises:
        KeyboardInterrupt: Ctrl-C was it.
    """
    import uvicorn

    # Without MLflow's start and end (lifespan), which look after containers of its assistant; it is closed here.
    settings = uvicorn.Config(
        app,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=not quiet,
        log_level="warning" if quiet else "info",
    )
    uvicorn.Server(settings).run(sockets=[ears])


def own_temporary_files(folder: Path) -> None:
    """Let this process have its temporary files in a folder, rather than in one where others know their names."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _close_all_but(fences: Sequence[Fence]) -> None:
    """Replace MLflow's ways to artifacts, by scheme, in this process."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    from difair_hpc.runs.fenced import Fenced

    fenced = functools.partial(Fenced, fences=fences)

    def refuse(address: str, **_: object) -> None:
        raise MlflowException(f"Artifacts in {address} are not served here.", PERMISSION_DENIED)

    ways: dict[str, Any] = get_registered_artifact_repositories()
    for scheme in ways:
        ways[scheme] = fenced if scheme in ("", "file") else refuse


def _check_new_places(experiments: Callable[[str], bool], models: Callable[[str], bool]) -> None:
    """Let MLflow's stores refuse places that clients choose, unless they are admitted."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    def model(place: str) -> bool:
        return _BY_NAME.fullmatch(place) is not None or models(place)

    for owner, name, key, admits in (
        (Tracking, "create_experiment", "artifact_location", experiments),
        (Registry, "create_model_version", "source", model),
    ):
        setattr(owner, name, _checked(getattr(owner, name), key, admits))


def _checked(make: Callable[..., Any], key: str, admits: Callable[[str], bool]) -> Callable[..., Any]:
    from mlflow.exceptions import MlflowException

    signature = inspect.signature(make)

    @functools.wraps(make)
    def checked(*given: Any, **named: Any) -> Any:
        place = signature.bind(*given, **named).arguments.get(key)
        if place and not admits(place):
            raise MlflowException.invalid_parameter_value(f"{key} {place} is not possible on this server.")
        return make(*given, **named)

    return checked
