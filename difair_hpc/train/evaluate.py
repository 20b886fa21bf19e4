"""One forward pass over a benchmark's images, and what the paper measures on it (sections 4 and C)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from difair_hpc.data.batches import batch_slices, normalise
from difair_hpc.data.sets import ImageSet, OpenSetData
from difair_hpc.osr.methods import Assessment, Centres, Method
from difair_hpc.osr.metrics import Evaluation
from difair_hpc.osr.metrics import evaluate as measure
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput

BATCH = 512
"""Images per forward pass; has no effect on the outputs beyond rounding."""


@torch.no_grad()
def outputs(network: VGG32, images: ImageSet, data: OpenSetData) -> NetworkOutput:
    """Return features (B, D) and logits (B, K) or None of all images, in float32 and evaluation mode."""
    was_training = network.training
    network.eval()
    try:
        parts = [
            network(normalise(images.images_BCHW[part], data.mean_C, data.std_C))
            for part in batch_slices(len(images), BATCH)
        ]
    finally:
        network.train(was_training)
    return _joined(parts)


def evaluate(network: VGG32, method: Method, data: OpenSetData) -> tuple[Evaluation, tuple[str, ...]]:
    """Measure accuracy, occupancy and the open-set metrics; also return warnings about class centres."""
    centres = _centres(network, method, data)
    known = outputs(network, data.known, data)
    assessed = method.assess(known, centres)
    unknown = None if len(data.unknown) == 0 else _assess(network, method, data, centres)
    evaluation = measure(
        known=assessed,
        labels_B=data.known.labels_B,
        inside_B=method.inside(known, data.known.labels_B),
        unknown=unknown,
    )
    return evaluation, centres.warnings


def _assess(network: VGG32, method: Method, data: OpenSetData, centres: Centres) -> Assessment:
    return method.assess(outputs(network, data.unknown, data), centres)


def _centres(network: VGG32, method: Method, data: OpenSetData) -> Centres:
    if not method.needs_centres:
        return Centres()
    return method.centres(outputs(network, data.train, data), data.train.labels_B)


def _joined(parts: list[NetworkOutput]) -> NetworkOutput:
    logits = [part.logits_BK for part in parts]
    return NetworkOutput(
        features_BD=torch.cat([part.features_BD for part in parts]),
        logits_BK=None if logits[0] is None else torch.cat(list(_present(logits))),
    )


def _present(tensors: Iterable[Tensor | None]) -> Iterable[Tensor]:
    return (tensor for tensor in tensors if tensor is not None)
