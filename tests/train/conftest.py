"""One thread for all training tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Results repeat to the bit at the same number of threads only."""
    torch.set_num_threads(1)
