"""Where a run computes, and that it computes the same again."""

import os

import torch

from difair_hpc.errors import InvalidValue
from difair_hpc.runs.cpus import usable_threads
from difair_hpc.runs.spec import ExecutionSpec

CUBLAS_WORKSPACE = ":4096:8"
"""With which cuBLAS repeats to the bit."""


def chosen_device(execution: ExecutionSpec) -> torch.device:
    """Return the device that is asked for.

    Raises:
        InvalidValue: PyTorch knows no such device, or sees no GPU here.
    """
    name = execution.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidValue("execution.device", name, "auto, cpu, cuda or cuda:NUMBER") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidValue("execution.device", name, f"cpu here: torch sees no CUDA GPU{_hidden()}")
    if device.type == "cuda" and device.index is not None and device.index >= (count := torch.cuda.device_count()):
        allowed = f"cuda:0 to cuda:{count - 1}, since torch sees {count} here{_hidden()}"
        raise InvalidValue("execution.device", name, allowed)
    return device


def _hidden() -> str:
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if said is None else f" (CUDA_VISIBLE_DEVICES={said})"


def make_repeatable(execution: ExecutionSpec) -> None:
    """Make arithmetic repeat to the bit: deterministic kernels, and a fixed number of threads, each with a CPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(mode=True)
    # It would write NaN into all memory that PyTorch allocates, to betray code that reads what nobody wrote: a tenth of
    # the time of a step on a CPU, for nothing that a run depends on.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(usable_threads(execution.threads))
