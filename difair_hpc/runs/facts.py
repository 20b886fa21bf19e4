"""What a result was made on: hardware, versions and code, recorded with every attempt."""

import hashlib
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from difair_hpc.runs.code import git_commit
from difair_hpc.runs.device import CUBLAS_WORKSPACE
from difair_hpc.train.optimizer import Precision

BITS = ("instructions", "arithmetic")
"""What decides bits beside the names of the hardware; records of earlier versions have neither."""
_STEERS = (
    *("ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE", "KMP_DETERMINISTIC_REDUCTION"),
    *("MKL_CBWR", "MKL_CBWR_BRANCH", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_DYNAMIC", "OMP_DYNAMIC"),
    *("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "ONEDNN_CPU_ISA_HINTS"),
    *("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE", "TORCH_MKLDNN_MATMUL_MIN_DIM"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
    *("CUBLAS_EMULATE_SINGLE_PRECISION", "CUBLASLT_WORKSPACE_SIZE", "TORCH_BLAS_PREFER_CUBLASLT"),
    *("DISABLE_ADDMM_CUDA_LT", "TORCH_CUDNN_V8_API_DISABLED", "CUDNN_FORCE_DETERMINISTIC"),
)
"""Variables by which a user or a site makes PyTorch, NumPy, MKL, oneDNN, cuBLAS or cuDNN compute in another way."""
_PACKAGES = ("difair-hpc", "torch", "torchvision", "numpy", "scikit-learn")


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the names of CPU and GPU, the number of threads that training uses, and what else decides bits."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    names = {"device": str(device), "cpu": _cpu_name(), "gpu": gpu, "threads": torch.get_num_threads()}
    return {**names, "instructions": torch.backends.cpu.get_cpu_capability(), "arithmetic": _arithmetic(device)}


def computing(device: torch.device) -> dict[str, str]:
    """Return that of the hardware with which a run repeats to the bit, and without which it may not."""
    found = hardware(device)
    return {name: str(found[name]) for name in ("gpu" if found["gpu"] else "cpu", *BITS)}


def _arithmetic(device: torch.device) -> str:
    """Return what is set that changes how libraries compute, as words; nothing: they are as they are delivered."""
    usual = {"CUBLAS_WORKSPACE_CONFIG": CUBLAS_WORKSPACE}
    words = [f"{name}={value}" for name in _STEERS if (value := os.environ.get(name, "")) and value != usual.get(name)]
    words += ["mkldnn=off"] * (not torch.backends.mkldnn.enabled)
    cudnn: Any = torch.backends.cudnn
    words += [f"cudnn={cudnn.version()}"] * (device.type == "cuda")
    return " ".join(words)


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
