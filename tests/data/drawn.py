"""Random images, and single operations of RandAugment as the tests ask for them."""

from typing import Literal

import torch

from difair_hpc.data.randaugment import SEQUENCE, Draw, applied
from difair_hpc.data.spec import Augmentation

Family = Literal["randaugment", "randaugment_vaze"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, size: int, *, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """Noise, a smooth slope, few values, one value: what the operations treat differently (B, C, size, size)."""
    noise = torch.randint(0, 256, (count, channels, size, size), generator=seeded(seed))
    slope = (torch.arange(size) * 4 + torch.arange(size)[:, None] * 2 + torch.arange(channels)[:, None, None] * 9) % 256
    mixed = [noise, (noise // 16 + slope) % 256, 60 + noise % 5 * 20, torch.full_like(noise, 77)]
    return torch.stack([mixed[place % 4][place] for place in range(count)]).to(torch.uint8)


def one(
    operation: str,
    pixels_BCHW: torch.Tensor,
    family: Family,
    magnitude: float,
    *,
    negative: bool = False,
    position: tuple[float, float] = (0.0, 0.0),
) -> torch.Tensor:
    """Return the images after that one operation."""
    count = len(pixels_BCHW)
    drawn = Draw(
        outcome_B=torch.full((count,), SEQUENCE.index(operation)),
        negative_B=torch.full((count,), negative),
        position_B2=torch.tensor([position]).expand(count, 2),
    )
    return applied(pixels_BCHW, drawn, Augmentation(name=family, magnitude=magnitude))
