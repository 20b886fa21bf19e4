"""One root for all cases, a home of its own, and a SLURM that answers and does nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.made import make_root
from tests.sites.answers import Site


@pytest.fixture(scope="session")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sound output root, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("fuzz")
        patch.chdir(place)
        return make_root(place / "whole")


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Take back what a run that was executed here has changed."""
    import torch

    yield
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command find no file of the user, and no real SLURM."""
    site = Site(squeue="4711_2|2|RUNNING|n1|None|other\n", scancel="", sacct="")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("difair_hpc.cli.clusters.run_command", site)
    monkeypatch.setattr("difair_hpc.cli.marking.run_command", site)
