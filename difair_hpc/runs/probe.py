"""What the machine around this process offers to runs, for `difair doctor`; a login node and a compute node differ."""

import os
import platform
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What was found."""

    name: str
    """Of the host, and in a job of the node."""
    python: str
    torch: str
    """Version, with the CUDA version that it was built for."""
    archs: Sequence[str]
    """GPU architectures that torch has code for, such as sm_70; empty: it was built for CPUs."""
    gpus: Sequence[str]
    """GPUs that torch sees here, each with its architecture."""
    foreign: Sequence[str]
    """Those of them that torch has no code for."""
    cpus: int
    """CPUs that this process may use."""
    memory_gb: float
    """Of the whole machine."""


def machine(*, in_job: bool = False) -> Machine:
    """Look at this machine; only in a job of the engine's does SLURM's variable for the node's name count."""
    import torch

    node = os.environ.get("SLURMD_NODENAME", "") if in_job else ""
    archs = (torch._C._cuda_getArchFlags() or "").split() if torch.version.cuda else []
    gpus: dict[str, bool] = {}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        major, minor = torch.cuda.get_device_capability(index)
        gpus[f"{index}: {torch.cuda.get_device_name(index)} (sm_{major}{minor})"] = covers(archs, major, minor)
    return Machine(
        name=" ".join(dict.fromkeys([socket.gethostname(), node])).strip(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        archs=archs,
        gpus=list(gpus),
        foreign=[gpu for gpu, covered in gpus.items() if not covered],
        cpus=len(os.sched_getaffinity(0)),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
    )


def covers(archs: Sequence[str], major: int, minor: int) -> bool:
    """Whether code for these runs on a GPU: sm_75 on 7.5 up to 7.9, compute_75 on all from 7.5 on."""
    built = [(kind, int(number)) for kind, number in re.findall(r"\b(sm|compute)_(\d+)\b", " ".join(archs))]
    return any(number <= major * 10 + minor and (kind == "compute" or number // 10 == major) for kind, number in built)
