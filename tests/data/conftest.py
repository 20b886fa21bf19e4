"""Where the real images are, for tests marked `realdata`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors are faster on one thread, and test machines are shared."""
    torch.set_num_threads(1)


@pytest.fixture
def real_data_root() -> Callable[..., Path]:
    """Return a function that gives the data root, or skips if one of the named folders is not in it."""

    def root(*folders: str) -> Path:
        place = Path(os.environ.get("DIFAIR_DATA", Path(__file__).parents[2] / "data"))
        for folder in folders:
            if not (place / folder).is_dir():
                pytest.skip(f"needs the real images in {place / folder} (DIFAIR_DATA names the data root)")
        return place

    return root
