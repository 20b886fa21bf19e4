"""The GPUs that a process was given, each by the name that it was given by: a number, a uuid, a part of one (MIG)."""

import os
import re
from collections.abc import Mapping
from itertools import takewhile

_NAME = re.compile(r"\d+|(GPU|MIG)-\S+")
"""What counts in CUDA_VISIBLE_DEVICES; at the first other word (-1, NoDevFiles of SLURM) CUDA stops reading."""
_AMD, _NVIDIA = "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"


def given_gpus(count: int, environment: Mapping[str, str] = os.environ, *, amd: bool = False) -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use.

    Args:
        count: GPUs that torch sees. Of several parts of GPUs CUDA shows a process the first alone; another process may
            use the next one.
        environment: Of the process.
        amd: Whether torch is built for AMD's GPUs, which have a variable of their own beside NVIDIA's.
    """
    said = environment.get(_NVIDIA)
    if amd:
        said = environment.get(_AMD, said)
    if said is None:
        return tuple(map(str, range(count)))
    names = tuple(takewhile(_NAME.fullmatch, (word.strip() for word in said.split(","))))
    only_parts = bool(names) and all(name.startswith("MIG-") for name in names)
    return names if only_parts and count else names[:count]


def gpus_here() -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use; brings torch."""
    import torch

    return given_gpus(torch.cuda.device_count(), amd=bool(torch.version.hip))
