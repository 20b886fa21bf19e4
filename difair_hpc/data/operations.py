"""RandAugment's operations on pixel values, a batch at once, for both families, exact to the byte but for one (pure).

TensorFlow's family is Model Garden 2.12.1 (official/vision/ops/augment.py), Vaze's that of
sgvaze/osr_closed_set_all_you_need (data/augmentations/randaugment.py) on Pillow. Where both do the same thing there is
one formula; where they differ `vaze` says which is meant. `level` is the strength: M/10, or M/30 for Vaze's family. The
one is TensorFlow's sharpness, which depends on the processor: see `sharpened`.

Multiplications and additions of fractions are steps of their own: fused, they would round differently on a GPU. Choices
are written as arithmetic on whole bytes, since PyTorch's CPU kernels compare and choose values one by one.

Shapes: B images, C = 3 channels, H, W.
"""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from difair_hpc.data.transfer import sent


def inverted(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:  # noqa: ARG001
    """Return 255 - value, uint8."""
    return 255 - images_BCHW


def posterized(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:  # noqa: ARG001
    """Return the highest int(4 level) bits of each value, uint8; one at least: TensorFlow shifts by 7 at most."""
    lost_bits = 8 - max(1, int(4 * level))
    return images_BCHW & (255 >> lost_bits << lost_bits)


def solarized(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images with bright values inverted, uint8; TensorFlow's threshold overflows: 256 is 0."""
    return _inverted_from(images_BCHW, math.ceil(256 * level) if vaze else int(256 * level) % 256)


def solarize_added(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images with int(110 level) added, uint8: to dark values; for Vaze to all, bright ones inverted."""
    amount = int(110 * level)
    added_BCHW = (~images_BCHW).clamp_(max=amount)
    if vaze:
        return _inverted_from(images_BCHW + added_BCHW, 128)
    return images_BCHW + (added_BCHW & ~_all_bits_from(images_BCHW, 128))


def brightened(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:  # noqa: ARG001
    """Return the images blended with black, uint8."""
    return _bytes(images_BCHW * _factor(level))


def contrasted(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images blended with one grey each, uint8.

    That grey is the mean brightness in Vaze's family. TensorFlow's sums a histogram instead of what it counts, so that
    it is the number of pixels / 256: nearly black, 4 for 32x32.
    """
    pixels = images_BCHW.shape[2] * images_BCHW.shape[3]
    if not vaze:
        return _blended(float(min(255, pixels // 256)), images_BCHW, level)
    total_B111 = _luma(images_BCHW).sum(dim=(2, 3), keepdim=True, dtype=torch.float64)
    # A quarter of a pixel's share keeps the quotient clear of the whole numbers, however it is rounded.
    return _blended(((total_B111 + 0.25) / pixels + 0.5).floor_().float(), images_BCHW, level)


def autocontrasted(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:  # noqa: ARG001
    """Return the images with each channel stretched to 0..255, uint8; a channel of one value stays.

    In float32 for TensorFlow, in float64 for Pillow: not the same bytes.
    """
    dtype = torch.float64 if vaze else torch.float32
    low_BC11 = images_BCHW.amin(dim=(2, 3), keepdim=True).to(dtype)
    high_BC11 = images_BCHW.amax(dim=(2, 3), keepdim=True).to(dtype)
    stretched = high_BC11 > low_BC11
    # Tensor by tensor: a number by a tensor is computed with the reciprocal, which rounds twice.
    scale_BC11 = torch.full_like(low_BC11, 255.0) / (high_BC11 - low_BC11)
    scale_BC11 = torch.where(stretched, scale_BC11, 1)
    offset_BC11 = torch.where(stretched, -low_BC11 * scale_BC11, 0)
    return _bytes(images_BCHW.to(dtype).mul_(scale_BC11).add_(offset_BC11))


def equalized(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:  # noqa: ARG001
    """Return the images with each channel's values spread evenly, uint8: Pillow's rule in whole numbers."""
    pixels_BCP = images_BCHW.flatten(2).long()
    ones_BCP = torch.ones((), dtype=torch.int32, device=images_BCHW.device).expand(pixels_BCP.shape)
    counts_BCV = ones_BCP.new_zeros((*pixels_BCP.shape[:2], 256)).scatter_add_(2, pixels_BCP, ones_BCP)
    last_BC1 = counts_BCV.gather(2, images_BCHW.amax(dim=(2, 3))[:, :, None].long())
    step_BC1 = (pixels_BCP.shape[2] - last_BC1) // 255
    below_BCV = counts_BCV.cumsum(dim=2, dtype=torch.int32).sub_(counts_BCV).add_(step_BC1 // 2)
    # Half a pixel keeps the quotients of numbers below 2 ** 22 clear of where float32 would have to be exact.
    spread_BCV = below_BCV.float().add_(0.5).div_(step_BC1.clamp(min=1)).clamp_(max=255).to(torch.uint8)
    same_V = torch.arange(256, dtype=torch.uint8, device=images_BCHW.device)
    table_BCV = spread_BCV + (same_V - spread_BCV) * (step_BC1 == 0)
    return table_BCV.gather(2, pixels_BCP).view(images_BCHW.shape)


def coloured(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images blended with their grey, uint8."""
    if vaze:
        return _blended(_luma(images_BCHW), images_BCHW, level)
    whole_C11, weight_C11 = _grey_scale(images_BCHW.device)
    weighted_BCHW = (images_BCHW / whole_C11).mul_(weight_C11)
    red_BHW, green_BHW, blue_BHW = weighted_BCHW[:, 0], weighted_BCHW[:, 1], weighted_BCHW[:, 2]
    return _blended((255.5 * (red_BHW + green_BHW + blue_BHW)).floor_()[:, None], images_BCHW, level)


def sharpened(images_BCHW: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images blended with their 3x3 mean, whose centre counts five times, uint8; the border stays.

    The mean is rounded in Vaze's family and truncated in TensorFlow's, which sums with float32 thirteenths. Where a
    mean is a whole number that sum may fall just below it (1,902 of 331,776 values, on processors with fused
    multiplication); here it never does.
    """
    width = images_BCHW.shape[3]
    # One long row, which is several times faster: what it computes on the border, from other rows, is not used.
    pixels = images_BCHW.flatten().to(torch.int16)
    columns = pixels[:-2] + pixels[1:-1] + pixels[2:]
    total = columns[: -2 * width] + columns[width:-width] + columns[2 * width :]
    centre = pixels[width + 1 : -width - 1]
    # Half a thirteenth keeps every quotient clear of the whole numbers, where float32 would have to be exact.
    mean = total.add_(centre, alpha=4).float().add_(6.5 if vaze else 0.5).mul_(1 / 13).floor_()
    changed_BCHW = F.pad(_blended(mean, centre, level), (width + 1, width + 1)).view(images_BCHW.shape)
    result_BCHW = images_BCHW.clone()
    result_BCHW[:, :, 1:-1, 1:-1] = changed_BCHW[:, :, 1:-1, 1:-1]
    return result_BCHW


def cut_out(images_BCHW: Tensor, position_B2: Tensor, *, level: float, vaze: bool) -> Tensor:
    """Return the images with a square painted over, uint8.

    TensorFlow's is grey, twice int(40 level) wide, about a pixel, and cut at the edges. Vaze's has the mean colour of
    ImageNet, int(40 level) + 1 wide, and is pushed back into the image at the top and the left only.

    Args:
        images_BCHW: uint8 images.
        position_B2: Row and column of the centre as shares of height and width, from 0 to below 1, on the CPU.
        level: Strength.
        vaze: Take Vaze's family.
    """
    height, width = images_BCHW.shape[2:]
    centre_B2 = position_B2 * torch.tensor([height, width])
    if vaze:
        first_B21 = (centre_B2 - 20 * level).clamp_(min=0).long()[:, :, None]
        end_B21 = first_B21 + int(40 * level) + 1
    else:
        first_B21 = centre_B2.long()[:, :, None] - int(40 * level)
        end_B21 = first_B21 + 2 * int(40 * level)
    places = torch.arange(max(height, width))
    covered_B2S = sent(((places >= first_B21) & (places < end_B21)).to(torch.uint8).neg_(), images_BCHW.device)
    inside_B1HW = covered_B2S[:, :1, :height, None] & covered_B2S[:, 1:, None, :width]
    return (images_BCHW & ~inside_B1HW) | (_fill(vaze, images_BCHW.device) & inside_B1HW)


def _blended(degenerate: Tensor | float, images: Tensor, level: float) -> Tensor:
    """Return degenerate + factor (images - degenerate) as uint8; `degenerate` is float32, `images` whole numbers."""
    return _bytes((images - degenerate).mul_(_factor(level)).add_(degenerate))


def _bytes(values: Tensor) -> Tensor:
    """Return fractions truncated and clipped to uint8; by way of int16, twice as fast with PyTorch's CPU kernels."""
    return values.to(torch.int16).clamp_(0, 255).to(torch.uint8)


def _factor(level: float) -> float:
    return 1.8 * level + 0.1


def _all_bits_from(images_BCHW: Tensor, first: int) -> Tensor:
    """Return 255 where a value is at least `first`, from 1 to 255, else 0; uint8."""
    return first - 1 - images_BCHW.clamp(first - 1, first)


def _inverted_from(images_BCHW: Tensor, first: int) -> Tensor:
    if first > 255:
        return images_BCHW
    return images_BCHW ^ _all_bits_from(images_BCHW, first) if first > 0 else ~images_BCHW


def _luma(images_BCHW: Tensor) -> Tensor:
    """Return Pillow's brightness (B, 1, H, W), whole numbers as float32, which holds every sum here exactly."""
    weighted_BCHW = images_BCHW * _luma_weights(images_BCHW.device)
    return weighted_BCHW.sum(dim=1, keepdim=True).add_(32768).mul_(2**-16).floor_()


@functools.lru_cache(maxsize=8)
def _luma_weights(device: torch.device) -> Tensor:
    return torch.tensor([19595.0, 38470.0, 7471.0])[:, None, None].to(device)


@functools.lru_cache(maxsize=8)
def _grey_scale(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what TensorFlow divides the channels by, then multiplies them with, float32 (3, 1, 1) each.

    Tensors, since a GPU multiplies by the rounded reciprocal where it should divide by a number.
    """
    return torch.full((3, 1, 1), 255.0).to(device), torch.tensor([0.2989, 0.587, 0.114])[:, None, None].to(device)


@functools.lru_cache(maxsize=8)
def _fill(vaze: bool, device: torch.device) -> Tensor:
    colour = (125, 123, 114) if vaze else (128,)
    return torch.tensor(colour, dtype=torch.uint8)[:, None, None].to(device)
