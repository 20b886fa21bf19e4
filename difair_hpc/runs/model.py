"""The trained network with its normalisation, as MLflow saves it: pixels in, features or logits out."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from difair_hpc.osr.methods import make_method
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.spec import run_spec


class Recogniser(nn.Module):
    """A network that takes pixels from 0 to 255, as in section A.2: it rescales and normalises by itself."""

    mean_1C11: Tensor
    std_1C11: Tensor

    def __init__(self, network: VGG32, *, mean_C: Tensor, std_C: Tensor) -> None:
        """Wrap a trained network with the normalisation of its training images."""
        super().__init__()
        self.network = network
        self.register_buffer("mean_1C11", mean_C[None, :, None, None])
        self.register_buffer("std_1C11", std_C[None, :, None, None])

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return logits (B, K) where the network has them, else features (B, D)."""
        output: NetworkOutput = self.network((pixels_BCHW / 255 - self.mean_1C11) / self.std_1C11)
        return output.features_BD if output.logits_BK is None else output.logits_BK


def load_model(folder: RunFolder) -> tuple[Recogniser, dict[str, Any]]:
    """Return the trained network of a finished run in evaluation mode, and what model.pt says of its classes."""
    content = torch.load(folder.path / "model.pt", map_location="cpu", weights_only=True)
    spec = run_spec(content["spec"])
    classes, mean_C = len(content["class_names"]), torch.tensor(content["mean"])
    method = make_method(spec.method, classes)
    network = VGG32(
        channels=len(mean_C),
        classes=classes,
        features_per_class=method.features_per_class,
        points=method.points,
        auxiliary_norm=method.generated_images,
        spec=spec.network,
        generator=torch.Generator(),
    )
    network.load_state_dict(content["weights"])
    return Recogniser(network, mean_C=mean_C, std_C=torch.tensor(content["std"])).eval(), content


@contextmanager
def save_for_mlflow(folder: RunFolder) -> Iterator[Path]:
    """Write an MLflow model (traced graph, no pickle, with signature) to a temporary folder for the block."""
    import mlflow.pytorch
    from mlflow.models import infer_signature

    model, content = load_model(folder)
    size = content["spec"]["benchmark"]["image_size"]
    example = np.zeros((2, len(content["mean"]), size, size), np.float32)
    with torch.no_grad():
        signature = infer_signature(example, model(torch.from_numpy(example)).numpy())
    chatter = StringIO()
    with tempfile.TemporaryDirectory(prefix="difair-model-") as base:
        target = Path(base) / "model"
        with redirect_stdout(chatter), redirect_stderr(chatter):
            mlflow.pytorch.save_model(
                model,
                str(target),
                signature=signature,
                input_example=example,
                pip_requirements=[f"torch=={version('torch').partition('+')[0]}"],
                serialization_format="pt2",
            )
        yield target
