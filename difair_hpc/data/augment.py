"""Augmentation of uint8 batches on the device they are on (pure; section A.2): contrast, brightness, crop and mirror.

Every random number is drawn on the CPU and then moved, so that a batch is the same on every device.
"""

import torch
from torch.nn import functional

from difair_hpc.data.randaugment import randaugmented
from difair_hpc.data.spec import Augmentation
from difair_hpc.data.transfer import sent


def augmented(images_BCHW: torch.Tensor, how: Augmentation, *, generator: torch.Generator) -> torch.Tensor:
    """Return the uint8 images as `how` changes them, the same shape; `generator` is on the CPU."""
    if how.name == "contrast_brightness":
        return contrast_brightness(images_BCHW, generator=generator)
    if how.name == "none":
        return images_BCHW
    return randaugmented(images_BCHW, how, generator=generator)


def contrast_brightness(images_BCHW: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Return each image with its own contrast and brightness, as the paper does to MNIST (A.2).

    The contrast factor is uniform in [0.5, 1.5] about the mean of each image and channel, the shift that is added
    afterwards uniform in [-127.5, 127.5]; values are clipped to 0..255 after both. The paper lost its strengths; these
    are Keras' layers RandomContrast(0.5) and RandomBrightness(0.5) of the authors' later code. Keras 2.12 draws one
    contrast factor for a whole batch (and one shift per image): that ties the images of a batch to each other for no
    gain, so here every image has both of its own. Keras goes on with fractions; here they are rounded.

    Args:
        images_BCHW: uint8 images.
        generator: On the CPU; it gives the factors first, then the shifts.

    Returns:
        uint8 images of the same shape.
    """
    batch, _, height, width = images_BCHW.shape
    factors_B = 0.5 + torch.rand(batch, generator=generator)
    shifts_B = 255 * (torch.rand(batch, generator=generator) - 0.5)
    drawn_2B111 = sent(torch.stack([factors_B, shifts_B]), images_BCHW.device)[..., None, None, None]
    # Whole numbers up to 255 * H * W have an exact sum, so the mean is the same on every device.
    means_BC11 = images_BCHW.sum(dim=(2, 3), keepdim=True).float() / (height * width)
    contrasted_BCHW = ((images_BCHW - means_BC11) * drawn_2B111[0] + means_BC11).clamp(0, 255)
    changed_BCHW: torch.Tensor = (contrasted_BCHW + drawn_2B111[1]).clamp(0, 255).round().to(torch.uint8)
    return changed_BCHW


def crop_and_flip(images_BCHW: torch.Tensor, *, padding: int, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Return each image cropped at random from its zero-padded self and mirrored at random.

    Args:
        images_BCHW: uint8 images.
        padding: Zeros added on each side in pixels; the crop has the size of the image.
        flip: Mirror left and right with probability 1/2.
        generator: On the CPU; it gives the offsets first, then the flips.

    Returns:
        uint8 images of the same shape: one gather out of the padded batch (P pixels of an image, Q of a padded one).
    """
    batch, channels, height, width = images_BCHW.shape
    offsets_B2 = torch.randint(0, 2 * padding + 1, (batch, 2), generator=generator)
    flipped_B1 = torch.rand(batch, 1, generator=generator) < 0.5 if flip else torch.zeros(batch, 1, dtype=torch.bool)
    device = images_BCHW.device
    drawn_B3 = sent(torch.cat([offsets_B2, flipped_B1.long()], dim=1), device)
    columns_W = torch.arange(width, device=device)
    rows_BH = drawn_B3[:, :1] + torch.arange(height, device=device)
    columns_BW = drawn_B3[:, 1:2] + torch.where(drawn_B3[:, 2:] > 0, width - 1 - columns_W, columns_W)
    source_B1P = (rows_BH[:, :, None] * (width + 2 * padding) + columns_BW[:, None]).view(batch, 1, height * width)
    padded_BCQ = functional.pad(images_BCHW, (padding, padding, padding, padding)).flatten(2)
    return padded_BCQ.gather(2, source_B1P.expand(-1, channels, -1)).view(images_BCHW.shape)
