"""What is computed over whole image sets, exactly and once: new size, channel statistics, fingerprint (pure).

Shapes: B images, C channels, H, W. Normalisation by the pixels of the known training images: section A.2.
"""

import hashlib

import torch
from torch.nn import functional

from difair_hpc.data.sets import ImageSet

_CHUNK = 4096
"""Images resized at a time: float32 copies of a whole training set would fill the memory of a laptop."""


def resized(images_BCHW: torch.Tensor, size: int) -> torch.Tensor:
    """Return uint8 images of `size` x `size` pixels, bilinear, antialiased only when they shrink.

    Args:
        images_BCHW: uint8 images of any height and width.
        size: New height and width in pixels.
    """
    batch, channels, height, width = images_BCHW.shape
    if (height, width) == (size, size):
        return images_BCHW
    output_BCHW = images_BCHW.new_empty((batch, channels, size, size))
    for start in range(0, batch, _CHUNK):
        part = functional.interpolate(
            images_BCHW[start : start + _CHUNK].float(),
            size=(size, size),
            mode="bilinear",
            align_corners=False,
            antialias=size < max(height, width),
        )
        output_BCHW[start : start + _CHUNK] = part.round().clamp(0, 255).to(torch.uint8)
    return output_BCHW


def channel_statistics(images_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and population standard deviation per channel of pixels on the scale 0 to 1; float32 (C) each.

    Counts how often each of the 256 values occurs, so that the sums are whole numbers and nothing is rounded before
    the end. A channel that never varies gets the deviation 1, so that dividing by it leaves zeros.
    """
    counts_CV = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images_BCHW.unbind(1)])
    values_V = torch.arange(256)
    total_C = counts_CV.sum(1)
    sum_C = (counts_CV * values_V).sum(1)
    squares_C = (counts_CV * values_V**2).sum(1)
    pairs = zip(total_C.tolist(), sum_C.tolist(), squares_C.tolist(), strict=True)
    variances = [(count * squares - total * total) / (count * 255) ** 2 for count, total, squares in pairs]
    mean_C = sum_C.double() / (total_C.double() * 255)
    std_C = torch.tensor([variance**0.5 or 1.0 for variance in variances], dtype=torch.float64)
    return mean_C.float(), std_C.float()


def fingerprint(*sets: ImageSet) -> str:
    """Return the SHA-256 (hex) over shapes, images and labels of the sets, in their order."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(str(tuple(images.images_BCHW.shape)).encode())
        digest.update(images.images_BCHW.contiguous().numpy().data)
        digest.update(images.labels_B.numpy().astype("<i8").data)
    return digest.hexdigest()
