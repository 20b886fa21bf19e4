"""What a result was made on: hardware, versions and code, recorded with every attempt."""

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

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


@functools.cache
def git_commit() -> str:
    """Return the commit of the package's checkout, with + for uncommitted changes, or 'none' outside a checkout."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return "none"
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    try:
        return git("rev-parse", "HEAD")[:12] + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
