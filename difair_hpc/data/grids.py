"""Where the pixels of a turned, sheared or shifted image come from, for both families of RandAugment (pure).

The grids are worked out on the CPU, so that they are the same for every device. TensorFlow's are float32 positions that
are mirrored at the edges and rounded (Model Garden 2.12, Keras' transform); Vaze's are Pillow's 16.16 fixed point
(`Image.transform` with nearest neighbours), black outside.

Shapes: B images, C channels, H, W, P = H W pixels.
"""

import functools
import math

import torch

MOVES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
"""Operations that move pixels; each has a grid for its positive and one for its negative argument."""

Matrix = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: the pixel at (x, y) comes from (a x + b y + c, d x + e y + f)."""


def moved(move: str, images_BCHW: torch.Tensor, negative_B: torch.Tensor, *, level: float, vaze: bool) -> torch.Tensor:
    """Return the images after one of MOVES, uint8.

    Args:
        move: Its name.
        images_BCHW: uint8 images.
        negative_B: 1 where an image goes the other way, else 0, int64.
        level: Strength: M/10, or M/30 for Vaze's family.
        vaze: Take Vaze's family.
    """
    height, width = images_BCHW.shape[2:]
    device = images_BCHW.device
    source_2P, inside_2P = _sources(move, level=level, vaze=vaze, height=height, width=width, device=device)
    source_BCP = source_2P.index_select(0, negative_B)[:, None].expand(-1, images_BCHW.shape[1], -1)
    moved_BCP = images_BCHW.flatten(2).gather(2, source_BCP)
    if vaze:
        moved_BCP *= inside_2P.index_select(0, negative_B)[:, None]
    return moved_BCP.view(images_BCHW.shape)


@functools.lru_cache(maxsize=64)
def _sources(
    move: str, *, level: float, vaze: bool, height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which pixel of the flattened image each pixel takes, int64, and whether there is one, uint8 (2, H W)."""
    find = _fixed_point if vaze else _reflected
    sources, masks = [], []
    for signed in (level, -level):
        columns_HW, rows_HW = find(_matrix(move, signed, vaze, height, width), height, width)
        inside_HW = (columns_HW >= 0) & (columns_HW < width) & (rows_HW >= 0) & (rows_HW < height)
        sources.append(torch.where(inside_HW, rows_HW * width + columns_HW, 0).flatten())
        masks.append(inside_HW.to(torch.uint8).flatten())
    return torch.stack(sources).to(device), torch.stack(masks).to(device)


def _matrix(move: str, level: float, vaze: bool, height: int, width: int) -> Matrix:
    if move == "Rotate":
        return (_turned_about_the_corner if vaze else _turned_between_pixels)(30 * level, height, width)
    shear, shift = 0.3 * level, 100 * level
    return {
        "ShearX": (1, shear, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, shear, 1, 0),
        "TranslateX": (1, 0, shift, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, shift),
    }[move]


def _turned_between_pixels(degrees: float, height: int, width: int) -> Matrix:
    """Turn about the middle of the outermost pixels' centres, every step in float32 as TensorFlow does it."""
    radians = torch.tensor(degrees) * torch.tensor(math.pi / 180)
    cos, sin = torch.cos(radians), torch.sin(radians)
    across, down = width - 1, height - 1
    x = (across - (cos * across - sin * down)) / 2
    y = (down - (sin * across + cos * down)) / 2
    return (float(cos), -float(sin), float(x), float(sin), float(cos), float(y))


def _turned_about_the_corner(degrees: float, height: int, width: int) -> Matrix:
    """Turn about half the width and height, which is a corner of pixels where they are even, as Pillow does it."""
    radians = -math.radians(degrees % 360)
    cos, sin = round(math.cos(radians), 15), round(math.sin(radians), 15)
    x, y = width / 2, height / 2
    return (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)


def _reflected(matrix: Matrix, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return columns and rows (H, W) by TensorFlow's rule: float32 positions, mirrored, rounded half up."""
    a, b, c, d, e, f = torch.tensor(matrix, dtype=torch.float32)
    x_W, y_H1 = torch.arange(width, dtype=torch.float32), torch.arange(height, dtype=torch.float32)[:, None]
    return _mirrored(a * x_W + b * y_H1 + c, width), _mirrored(d * x_W + e * y_H1 + f, height)


def _mirrored(position_HW: torch.Tensor, count: int) -> torch.Tensor:
    inside_HW = position_HW.double() % (2 * count)  # float64 holds every one of these steps without rounding
    inside_HW = torch.where(inside_HW >= count, 2 * count - 1 - inside_HW, inside_HW)
    return (inside_HW.clamp(0, count - 1) + 0.5).floor().long()


def _fixed_point(matrix: Matrix, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return columns and rows (H, W) by Pillow's rule, those outside of the image too."""
    a, b, c, d, e, f = matrix
    x_W, y_H1 = torch.arange(width), torch.arange(height)[:, None]
    columns_HW = _fixed(c + a / 2 + b / 2) + _fixed(a) * x_W + _fixed(b) * y_H1
    rows_HW = _fixed(f + d / 2 + e / 2) + _fixed(d) * x_W + _fixed(e) * y_H1
    return columns_HW >> 16, rows_HW >> 16


def _fixed(value: float) -> int:
    return math.floor(value * 65536 + 0.5)
