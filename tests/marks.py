"""Marks that several modules share."""

import pytest

USES_MLFLOW = (
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
)
"""MLflow and what it imports warn of themselves when they work in the process of a test."""
