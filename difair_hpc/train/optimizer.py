"""The optimizer of the classifier: its groups, its decoupled weight decay, and the scaling of float16's gradients."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from difair_hpc.osr.vgg32 import VGG32
from difair_hpc.train.spec import ProtocolSpec

Precision = Literal["float32", "bfloat16", "float16"]
_OWN = ("scale", "shrink", "fused")
"""What a group gets from this code, not from a checkpoint."""


def make_optimizer(
    network: VGG32, protocol: ProtocolSpec, *, points_rate: float | None, precision: Precision
) -> torch.optim.Optimizer:
    """Return the optimizer; each of its groups knows its share of the schedule and its decoupled decay.

    Args:
        network: On the device that trains.
        protocol: Names the optimizer and its constants.
        points_rate: Peak learning rate of learned points that have one of their own; None: they have none.
        precision: float16 takes fused kernels, the only ones that pass over a step without asking the device.
    """
    coupled = protocol.weight_decay_form == "coupled"
    decay = {"weight_decay": protocol.weight_decay if coupled else 0.0}
    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "scale": 1.0, **decay}]
    groups[0]["shrink"] = 0.0 if coupled else protocol.weight_decay
    if points_rate is not None:
        groups[0]["params"] = [tensor for tensor in network.parameters() if tensor is not network.points]
        free = {"momentum": 0.0} if protocol.optimizer == "sgd" else {}
        scale = points_rate / protocol.learning_rate
        groups.append({"params": [network.points], "scale": scale, "weight_decay": 0.0, "shrink": 0.0, **free})
    optimizer: torch.optim.Optimizer
    if protocol.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, lr=protocol.learning_rate, fused=True)
    else:
        # On a CPU the fused kernel took 1.4 times as long as PyTorch's loop.
        fused = precision == "float16" or next(network.parameters()).device.type == "cuda"
        optimizer = torch.optim.SGD(groups, lr=protocol.learning_rate, momentum=protocol.momentum, fused=fused)
        _begin_at_rest(optimizer)
    optimizer.register_step_pre_hook(_shrink)
    return optimizer


def restore_optimizer(optimizer: torch.optim.Optimizer, payload: Mapping[str, Any]) -> None:
    """Take over the state of an optimizer of an earlier process, or of an earlier version of this code."""
    groups = [
        group | {key: mine[key] for key in _OWN if key in mine}
        for group, mine in zip(payload["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({"state": payload["state"], "param_groups": groups})
    if isinstance(optimizer, torch.optim.SGD):
        _begin_at_rest(optimizer)


@torch.no_grad()
def _begin_at_rest(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter the momentum 0, which makes the first step what PyTorch makes it.

    Left to itself the fused kernel allocates it, and has nothing written there when it passes over the first step.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else []:
            optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


@torch.no_grad()
def _shrink(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Multiply the weights of each group by 1 - rate * decay, but where the step is passed over.

    `found_inf` is what a gradient scaler gives an optimizer for its step: 1.0 on the device if a gradient overflowed.
    """
    overflowed = getattr(optimizer, "found_inf", None)
    for group in optimizer.param_groups:
        if share := group["lr"] * group["shrink"]:
            factor = 1 - share if overflowed is None else 1 - share * (1 - overflowed)
            torch._foreach_mul_(group["params"], factor)
