"""The model that goes to MLflow says what the run's own network says, and costs no more memory with each run."""

import gc
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from difair_hpc.osr.spec import CrossEntropySpec, DifairSpec, MethodSpec
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.model import load_model, save_for_mlflow
from difair_hpc.runs.run import Events, execute
from tests.runs.made import created, execution, spec
from tests.train.tiny import tiny_data

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return what trains a network for one epoch."""

    def train(method: MethodSpec, seed: int = 0) -> RunFolder:
        place = created(tmp_path, spec(method, seed=seed, epochs=1))
        execute(place, execution(), Events())
        return place

    return train


def said(path: Path) -> Tensor:
    """Return what MLflow's model says of three images."""
    import mlflow.pytorch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        loaded = mlflow.pytorch.load_model(str(path))
        return loaded(tiny_data().known.images_BCHW[:3].float())  # type: ignore[no-any-return]


@pytest.mark.slow
def test_networks_that_differ_in_their_weights_alone(trained: Callable[..., RunFolder]) -> None:
    places = [trained(DifairSpec(), seed) for seed in (0, 1)] + [trained(CrossEntropySpec())]
    identities = set()
    for place in [*places, places[0]]:
        network, _ = load_model(place)
        with save_for_mlflow(place) as saved, torch.no_grad():
            assert torch.equal(said(saved), network(tiny_data().known.images_BCHW[:3].float()))
            identities.add(yaml.safe_load((saved / "MLmodel").read_text())["model_uuid"])
    assert len(identities) == 4


@pytest.mark.slow
def test_a_second_model_of_a_form_leaves_nothing_behind(trained: Callable[..., RunFolder]) -> None:
    def left() -> int:
        gc.collect()
        return sum(type(thing).__name__ in ("FakeTensor", "ShapeEnv", "SymNode") for thing in gc.get_objects())

    place = trained(DifairSpec())
    with save_for_mlflow(place):
        pass
    before = left()
    for _ in range(3):
        with save_for_mlflow(place):
            pass
    assert left() == before
