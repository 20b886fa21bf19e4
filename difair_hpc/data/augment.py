"""Augmentation of uint8 batches on the device they are on (pure; section A.2): the shifted crop and the mirror image.

Every random number is drawn on the CPU and then moved, so that a batch is the same on every device.
"""

import torch
from torch.nn import functional


def crop_and_flip(images_BCHW: torch.Tensor, *, padding: int, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Return each image cropped at random from its zero-padded self and mirrored at random.

    Args:
        images_BCHW: uint8 images.
        padding: Zeros added on each side in pixels; the crop has the size of the image.
        flip: Mirror left and right with probability 1/2.
        generator: On the CPU; it gives the offsets first, then the flips.

    Returns:
        uint8 images of the same shape: one gather out of the padded batch.
    """
    batch, channels, height, width = images_BCHW.shape
    offsets_B2 = torch.randint(0, 2 * padding + 1, (batch, 2), generator=generator)
    flipped_B = torch.rand(batch, generator=generator) < 0.5 if flip else torch.zeros(batch, dtype=torch.bool)
    columns_W = torch.arange(width)
    rows_BH = offsets_B2[:, :1] + torch.arange(height)
    columns_BW = offsets_B2[:, 1:] + torch.where(flipped_B[:, None], width - 1 - columns_W, columns_W)
    device = images_BCHW.device
    padded_BCHW = functional.pad(images_BCHW, (padding, padding, padding, padding))
    return padded_BCHW[
        torch.arange(batch, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        rows_BH.to(device)[:, None, :, None],
        columns_BW.to(device)[:, None, None, :],
    ]
