"""The trained network with its normalisation, as MLflow saves it: pixels in, features or logits out."""

import io
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from difair_hpc.files import read_bytes
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.spec import NetworkSpec
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput
from difair_hpc.runs.folder import RunFolder
from difair_hpc.runs.spec import run_spec
from difair_hpc.train.checkpoint import unpacked

_GRAPH = "data/model.pt2"
"""Where MLflow keeps the traced network in its model."""


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
    content: dict[str, Any] = unpacked(io.BytesIO(read_bytes(folder.path / "model.pt")))
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
    from mlflow.models import Model

    network, content = load_model(folder)
    weights, spec = network.state_dict(keep_vars=True), run_spec(content["spec"])
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in weights.items())
    form = _Form(method=spec.method.name, network=spec.network, size=spec.benchmark.image_size, shapes=shapes)
    if (traced := _TRACED.get(form)) is None:
        traced = _TRACED[form] = _traced(network, channels=len(content["mean"]), size=form.size)
    traced.program.state_dict.update(weights)
    with tempfile.TemporaryDirectory(prefix="difair-model-") as base:
        target = Path(base) / "model"
        (target / _GRAPH).parent.mkdir(parents=True)
        for name, text in traced.files.items():
            (target / name).write_text(text, "utf-8")
        torch.export.save(traced.program, target / _GRAPH)
        described = Model.load(str(target))
        described.model_uuid, described.utc_time_created = uuid.uuid4().hex, str(datetime.now(UTC).replace(tzinfo=None))
        described.save(str(target / "MLmodel"))
        yield target


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """What networks have in common that differ in their weights alone."""

    method: str
    network: NetworkSpec
    size: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Traced:
    """A network of one form as it was traced."""

    program: ExportedProgram
    files: dict[str, str]
    """What else MLflow writes: name to text."""


_TRACED: dict[_Form, _Traced] = {}
"""Tracing takes half a second, and PyTorch 2.9 keeps half a megabyte of each for ever: so each form is traced once."""


def _traced(network: Recogniser, *, channels: int, size: int) -> _Traced:
    example = np.zeros((2, channels, size, size), np.float32)
    with torch.no_grad():
        answer = network(torch.from_numpy(example)).numpy()
    chatter = io.StringIO()
    with (
        tempfile.TemporaryDirectory(prefix="difair-model-") as base,
        redirect_stdout(chatter),
        redirect_stderr(chatter),
        warnings.catch_warnings(action="ignore"),
    ):
        import mlflow.pytorch
        from mlflow.models import infer_signature

        mlflow.pytorch.save_model(
            network,
            base,
            signature=infer_signature(example, answer),
            input_example=example,
            pip_requirements=[f"torch=={version('torch').partition('+')[0]}"],
            serialization_format="pt2",
        )
        program = torch.export.load(Path(base) / _GRAPH)
        files = {path.name: path.read_text("utf-8") for path in Path(base).iterdir() if path.is_file()}
    return _Traced(program=program, files=files)
