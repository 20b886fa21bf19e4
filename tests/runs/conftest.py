"""What a run changes in its process is put back after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from difair_hpc.data.sets import OpenSetData


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
