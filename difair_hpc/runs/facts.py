"""What a result was made on: hardware, versions and code, recorded with every attempt."""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from difair_hpc.runs.code import git_commit
from difair_hpc.train.optimizer import Precision

_PACKAGES = ("difair-hpc", "torch", "torchvision", "numpy", "scikit-learn")


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the names of CPU and GPU, and the number of threads that training uses."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"device": str(device), "cpu": _cpu_name(), "gpu": gpu, "threads": torch.get_num_threads()}


def precision(wanted: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> Precision:
    """Return what training computes in: what is asked for, or with `auto` what the device is fast in.

    That is bfloat16 where it is native (sm_80 and newer, CPUs with AVX512-BF16 or AMX), float16 on the GPUs before that
    have tensor cores or double rate for it (sm_70 as the V100, sm_75 as the RTX 6000), else float32.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"
    # PyTorch has no public question for what its CPU kernels can do natively.
    native = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bfloat16" if native else "float32"


def versions() -> dict[str, str]:
    """Return the versions of Python, of what computes, and of the code (git commit, with + when edited)."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "commit": git_commit(),
    }


def digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and values: equal weights, equal digest."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", errors="replace").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
