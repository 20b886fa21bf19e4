"""MLflow's repository of artifacts, as its server uses it, for places below a `Fence`; imports MLflow."""

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from difair_hpc.runs.fence import Fence, Outside, found

P = ParamSpec("P")
T = TypeVar("T")


def _explained(act: Callable[P, T]) -> Callable[P, T]:
    """Let a failure be one of MLflow's, which its server answers with a status that says whose fault it is."""

    @functools.wraps(act)
    def done(*given: P.args, **named: P.kwargs) -> T:
        try:
            return act(*given, **named)
        except Outside as error:
            raise MlflowException(f"{error}: it is not served here.", PERMISSION_DENIED) from error
        except FileNotFoundError as error:
            raise MlflowException(f"There is no {error.filename} here.", RESOURCE_DOES_NOT_EXIST) from error
        except OSError as error:
            raise MlflowException(f"{error.filename}: {error.strerror}.", INVALID_PARAMETER_VALUE) from error

    return done


class Fenced(ArtifactRepository):
    """Artifacts of one run or model. None has a path that is handed out: the server copies what it sends."""

    @_explained
    def __init__(
        self,
        artifact_uri: str,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        *,
        fences: Sequence[Fence],
    ) -> None:
        """Take a place below one of the fences.

        Raises:
            MlflowException: it is below none.
        """
        self._fence, self._below = found(fences, artifact_uri)
        super().__init__(artifact_uri, tracking_uri, registry_uri)

    @_explained
    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return what is in a folder."""
        start = f"{path.rstrip('/')}/" if path else ""
        entries = self._fence.entries(self._names(path))
        return [FileInfo(f"{start}{entry.name}", entry.size is None, entry.size) for entry in entries]

    @_explained
    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """Copy one file into a folder outside, and return the copy."""
        copy = Path(dst_path or tempfile.mkdtemp()) / Path(artifact_path).name
        self._fence.copy_out(self._names(artifact_path), copy)
        return str(copy)

    @_explained
    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._fence.copy_out(self._names(remote_file_path), Path(local_path))

    @_explained
    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Copy a file into a folder here."""
        self._fence.copy_in(Path(local_file), (*self._names(artifact_path), Path(local_file).name))

    @_explained
    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Copy the files of a folder into a folder here."""
        for path in sorted(Path(local_dir).rglob("*")):
            if path.is_file():
                self._fence.copy_in(path, (*self._names(artifact_path), *path.relative_to(local_dir).parts))

    @_explained
    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Remove a file or folder."""
        self._fence.remove(self._names(artifact_path))

    def _names(self, path: str | None) -> tuple[str, ...]:
        return (*self._below, *(part for part in (path or "").split("/") if part not in ("", ".")))
