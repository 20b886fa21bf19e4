"""Forward passes over a benchmark's images, and what the paper measures on them (sections 4 and C)."""

import torch

from difair_hpc.data.batches import batch_slices, normalise
from difair_hpc.data.sets import ImageSet, OpenSetData
from difair_hpc.osr.method import Method
from difair_hpc.osr.metrics import Evaluation
from difair_hpc.osr.metrics import evaluate as measure
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput

_GIB = 2**30
_BYTES_PER_PIXEL = 3 * 64 * 4
"""Of the first block, the widest: what a layer of 64 float32 channels takes, what it gives, and one in between."""


def batch_size(size: int, device: torch.device) -> int:
    """Return how many images of `size` x `size` pixels pass at once: a power of 2, of what fits into a fixed bound.

    2 GiB on a GPU, several runs of which must fit into one, and a quarter GiB on a CPU, where more is no faster. What
    memory happens to be free has no say: it would change the rounding of the outputs.
    """
    bound = 2 * _GIB if device.type == "cuda" else _GIB // 4
    return 1 << (max(1, bound // (_BYTES_PER_PIXEL * size**2)).bit_length() - 1)


def outputs(network: VGG32, images: ImageSet, data: OpenSetData) -> NetworkOutput:
    """Return features (B, D) and logits (B, K) or None of all images, in float32 and evaluation mode.

    Raises:
        torch.OutOfMemoryError: not even one image fits into the device's memory.
    """
    was_training = network.training
    network.eval()
    batch = batch_size(data.size, data.mean_C.device)
    try:
        while (output := _passed(network, images, data, batch)) is None:
            batch //= 2
    finally:
        network.train(was_training)
    return output


@torch.no_grad()
def _passed(network: VGG32, images: ImageSet, data: OpenSetData, batch: int) -> NetworkOutput | None:
    """Return the outputs of passes of `batch` images, None where memory did not suffice and fewer may fit."""
    try:
        parts = [
            network(normalise(images.images_BCHW[part], data.mean_C, data.std_C))
            for part in batch_slices(len(images), batch) or [slice(0)]
        ]
    except torch.OutOfMemoryError:
        if batch == 1:
            raise
        return None
    logits = [part.logits_BK for part in parts if part.logits_BK is not None]
    return NetworkOutput(
        features_BD=torch.cat([part.features_BD for part in parts]), logits_BK=torch.cat(logits) if logits else None
    )


def all_outputs(network: VGG32, data: OpenSetData, unknown: ImageSet | None = None) -> Outputs:
    """Return what the network says about all images, none of them augmented.

    Args:
        network: Trained.
        data: The split.
        unknown: Images of unknown classes in place of the split's own.
    """
    parts = []
    for images in (data.train, data.known, data.unknown if unknown is None else unknown):
        output = outputs(network, images, data)
        parts.append(Part(features_BD=output.features_BD, logits_BK=output.logits_BK, labels_B=images.labels_B))
    head = {name: tensor.detach() for name, tensor in network.head.items()}
    return Outputs(train=parts[0], known=parts[1], unknown=parts[2], head=head)


def evaluate(network: VGG32, method: Method, data: OpenSetData) -> tuple[Evaluation, tuple[str, ...]]:
    """Measure accuracy, occupancy and the method's own scores; also return warnings about class centres."""
    known = outputs(network, data.known, data)
    train = outputs(network, data.train, data) if method.needs_centres else known
    centres = method.centres(train, data.train.labels_B, network.head)
    evaluation = measure(
        known=method.assess(known, centres),
        labels_B=data.known.labels_B,
        inside_B=method.inside(known, data.known.labels_B),
        unknown=method.assess(outputs(network, data.unknown, data), centres),
    )
    return evaluation, centres.warnings
