"""What a run changes in its process is put back after each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from difair_hpc.data.sets import OpenSetData
from difair_hpc.runs.tracking import Tracker, default_uri
from tests.mlflow_server import MlflowServer, running_mlflow


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """One thread, and no demand for deterministic kernels, before and after."""
    import torch

    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> OpenSetData:
    """Let every run train on forty digits, whatever its benchmark."""
    from tests.train.tiny import tiny_data

    monkeypatch.setattr("difair_hpc.runs.run.load", lambda _spec, _root: tiny_data())
    return tiny_data()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the empty folder of a run."""
    path = tmp_path / "runs" / "0123456789ab"
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow's own server for all tests of this process; one that is killed by a test is started again."""
    with running_mlflow(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty store, to be copied: making one takes MLflow seconds."""
    root = tmp_path_factory.mktemp("empty")
    Tracker(default_uri(root), root=root, study="unused").settle(live=False)
    return root / "mlflow.db"


@pytest.fixture
def migrated(tmp_path: Path, empty_store: Path) -> Path:
    """Let the output root `tmp_path` have an empty store."""
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))
