"""Batches as a function of (seed, epoch, step), so that a resumed run sees what an uninterrupted one sees (pure).

Nothing here carries state from one batch to the next. Shapes: B images, C channels, H, W.
"""

import hashlib
import json

import torch

from difair_hpc.data.augment import augmented, crop_and_flip
from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.spec import Augmentation


def derived_seed(*parts: int | str) -> int:
    """Return a seed of 63 bits that belongs to these parts alone: the first bits of a SHA-256 over them."""
    text = json.dumps([part if isinstance(part, str) else int(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a new random generator on the CPU, seeded by `derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def epoch_order(count: int, *, seed: int, epoch: int) -> torch.Tensor:
    """Return the order in which an epoch visits `count` images: a permutation, int64."""
    return torch.randperm(count, generator=generator("order", seed, epoch))


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """Return the slices that cut `count` images into batches; the last may be smaller."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def normalise(images_BCHW: torch.Tensor, mean_C: torch.Tensor, std_C: torch.Tensor) -> torch.Tensor:
    """Return (image / 255 - mean) / std per channel, float32 (A.2).

    Args:
        images_BCHW: Pixels from 0 to 255, uint8 or float.
        mean_C: Channel means on the scale 0 to 1, on the device of the images.
        std_C: Channel standard deviations on the same scale and device.
    """
    return (images_BCHW.float() / 255 - mean_C[:, None, None]) / std_C[:, None, None]


def training_batch(
    data: OpenSetData,
    indices_B: torch.Tensor,
    *,
    augmentation: Augmentation,
    flip: bool,
    crop_padding: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one augmented and normalised batch of `data.train` on the device of the data.

    Args:
        data: The split that is trained on.
        indices_B: Positions in `data.train`, int64, on any device.
        augmentation: What is done to the pixels before crop and flip.
        flip: Mirror with probability 1/2.
        crop_padding: Zero padding before the random crop in pixels.
        generator: On the CPU, made for this batch: see `generator`.

    Returns:
        Images (B, C, H, W) as float32 and their labels (B) as int64.
    """
    rows_B = indices_B.to(data.train.labels_B.device)
    images_BCHW = augmented(data.train.images_BCHW.index_select(0, rows_B), augmentation, generator=generator)
    images_BCHW = crop_and_flip(images_BCHW, padding=crop_padding, flip=flip, generator=generator)
    return normalise(images_BCHW, data.mean_C, data.std_C), data.train.labels_B[rows_B]
