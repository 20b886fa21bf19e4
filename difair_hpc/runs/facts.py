"""What a result was made on: hardware, versions and code, recorded with every attempt."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from difair_hpc.runs.code import git_commit

_PACKAGES = ("difair-hpc", "torch", "torchvision", "numpy", "scikit-learn")


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the names of CPU and GPU, and the number of threads that training uses."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"device": str(device), "cpu": _cpu_name(), "gpu": gpu, "threads": torch.get_num_threads()}


def versions() -> dict[str, str]:
    """Return the versions of Python, of what computes, and of the code (git commit, with + when edited)."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "commit": git_commit(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
