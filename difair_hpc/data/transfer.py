"""The way of drawn numbers from the CPU to the device that trains (pure)."""

import torch
from torch import Tensor


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`, without waiting for what the device still has to do.

    A plain `.to` ends with a wait for all work in the queue of the GPU, in every step. Out of page-locked memory the
    copy joins that queue instead; PyTorch keeps such memory until the copy is done, and hands it out again.
    """
    if device.type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)
