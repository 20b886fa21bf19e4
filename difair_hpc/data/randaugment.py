"""RandAugment of a whole batch: every image its own operation, without a loop over images (pure; section A.2).

What is drawn is known on the CPU. So the batch is sorted by operation, each operation works on its own stretch of the
batch, which fits into a processor's cache, and the images go back to their places. The device is never asked anything.

Shapes: B images, C channels, H, W.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from difair_hpc.data import operations
from difair_hpc.data.grids import MOVES, moved
from difair_hpc.data.spec import Augmentation
from difair_hpc.data.transfer import sent

VALUES = {
    "AutoContrast": operations.autocontrasted,
    "Equalize": operations.equalized,
    "Invert": operations.inverted,
    "Posterize": operations.posterized,
    "Solarize": operations.solarized,
    "SolarizeAdd": operations.solarize_added,
    "Color": operations.coloured,
    "Contrast": operations.contrasted,
    "Brightness": operations.brightened,
    "Sharpness": operations.sharpened,
}
"""Operations that take the images and their strength alone."""
IDENTITY = "Identity"
SEQUENCE = (*VALUES, *MOVES, "Cutout", IDENTITY)
"""All outcomes, in the order in which a batch is sorted."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Draw:
    """What chance decides for one layer of operations, on the CPU."""

    outcome_B: Tensor
    """Positions in SEQUENCE, int64."""
    negative_B: Tensor
    """Whether a move goes the other way, bool."""
    position_B2: Tensor
    """Row and column of a cutout's centre as shares of height and width, float32."""

    def of(self, rows_B: Tensor) -> "Draw":
        """Return what was drawn for these images."""
        return Draw(
            outcome_B=self.outcome_B[rows_B], negative_B=self.negative_B[rows_B], position_B2=self.position_B2[rows_B]
        )


def draw(count: int, how: Augmentation, *, generator: torch.Generator) -> Draw:
    """Draw for `count` images: all outcomes are equally likely, as are both signs and all positions.

    TensorFlow's family has 17 outcomes, since nothing may happen too, Vaze's has 16; `how.exclude` leaves fewer.
    """
    left_out = {*how.exclude, *([IDENTITY] if _is_vaze(how) else [])}
    allowed = torch.tensor([place for place, name in enumerate(SEQUENCE) if name not in left_out])
    return Draw(
        outcome_B=allowed[torch.randint(len(allowed), (count,), generator=generator)],
        negative_B=torch.rand(count, generator=generator) < 0.5,
        position_B2=torch.rand(count, 2, generator=generator),
    )


def randaugmented(images_BCHW: Tensor, how: Augmentation, *, generator: torch.Generator) -> Tensor:
    """Return the images after `how.operations` random operations each.

    The published forms know colour images alone. One channel is taken for a grey image of three; all operations leave
    it grey but Vaze's cutout, of whose colour the green part is its brightness.

    Args:
        images_BCHW: uint8 images of one or three channels.
        how: Name of the family, number and magnitude of the operations.
        generator: On the CPU; it gives the outcomes of a layer, then their signs, then their positions.

    Returns:
        uint8 images of the same shape.
    """
    if images_BCHW.shape[1] == 1:
        return randaugmented(images_BCHW.expand(-1, 3, -1, -1), how, generator=generator)[:, 1:2]
    for _ in range(how.operations):
        images_BCHW = applied(images_BCHW, draw(len(images_BCHW), how, generator=generator), how)
    return images_BCHW


def applied(images_BCHW: Tensor, drawn: Draw, how: Augmentation) -> Tensor:
    """Return uint8 images of three channels after one operation each, the one that `drawn` says."""
    device, vaze = images_BCHW.device, _is_vaze(how)
    level = how.magnitude / (30 if vaze else 10)
    order_B = torch.argsort(drawn.outcome_B, stable=True)
    drawn_3B = torch.stack([order_B, torch.argsort(order_B), drawn.negative_B[order_B].long()])
    there_B, back_B, negative_B = sent(drawn_3B, device)
    position_B2 = drawn.position_B2[order_B]
    counts = torch.bincount(drawn.outcome_B, minlength=len(SEQUENCE)).tolist()
    sorted_BCHW = images_BCHW.index_select(0, there_B)
    parts = [sorted_BCHW[:0]]
    for name, (start, end) in zip(SEQUENCE, pairwise(accumulate(counts, initial=0)), strict=True):
        if start == end:
            continue
        part_BCHW = sorted_BCHW[start:end]
        if name in VALUES:
            part_BCHW = VALUES[name](part_BCHW, level=level, vaze=vaze)
        elif name in MOVES:
            part_BCHW = moved(name, part_BCHW, negative_B[start:end], level=level, vaze=vaze)
        elif name == "Cutout":
            part_BCHW = operations.cut_out(part_BCHW, position_B2[start:end], level=level, vaze=vaze)
        parts.append(part_BCHW)
    return torch.cat(parts).index_select(0, back_B)


def _is_vaze(how: Augmentation) -> bool:
    return how.name == "randaugment_vaze"
