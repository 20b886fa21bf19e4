"""Files on their way into MLflow: read where nobody can slip in a link, and written so where its store is a folder.

MLflow's own client follows whatever link stands in a folder of artifacts, and takes the word of a server for where that
folder is. So a store on this machine gets its files from here, and a server that names a folder of this machine none.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from difair_hpc.errors import UserError
from difair_hpc.files import read_bytes, write_atomically
from difair_hpc.folders import make_folder
from difair_hpc.runs.fence import path_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def log_file(client: "MlflowClient", run_id: str, path: Path, folder: str | None, *, served: bool) -> None:
    """Log one file to a folder of an MLflow run (None: its topmost).

    Args:
        client: MLflow's.
        run_id: Of the run.
        path: Of the file; it has to be a regular one.
        folder: Where it goes.
        served: Whether the store is a server.

    Raises:
        UserError: a server wants files in a folder of this machine.
        OSError, MlflowException: it cannot be read, or not be logged.
    """
    content = read_bytes(path)
    place = _local(client, run_id, served=served)
    if place is not None:
        _write((place / folder if folder else place) / path.name, content)
        return
    with tempfile.TemporaryDirectory(prefix="difair-files-") as own:  # MLflow's client reads by name
        copy = Path(own) / path.name
        copy.write_bytes(content)
        client.log_artifact(run_id, str(copy), folder)


def log_folder(client: "MlflowClient", run_id: str, source: Path, folder: str, *, served: bool) -> None:
    """Log the files of a folder, such as a model, as `log_file` does; `source` is this process's own."""
    place = _local(client, run_id, served=served)
    if place is None:
        client.log_artifacts(run_id, str(source), folder)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            _write(place / folder / path.relative_to(source), path.read_bytes())


def _local(client: "MlflowClient", run_id: str, *, served: bool) -> Path | None:
    """Return the folder of this machine in which a run's artifacts are kept; None: they are sent somewhere."""
    address = client.get_run(run_id).info.artifact_uri
    if urlsplit(address).scheme not in ("", "file"):
        return None
    if served:
        raise UserError(f"the server names {address}, a folder of this machine, for files: nothing is put there")
    return Path(path_of(address))


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    write_atomically(path, content)
