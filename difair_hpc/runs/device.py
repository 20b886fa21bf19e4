"""Where a run computes, and that it computes the same again."""

import os

import torch

from difair_hpc.errors import InvalidValue
from difair_hpc.runs.spec import ExecutionSpec


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
        raise InvalidValue("execution.device", name, "cpu here: torch sees no CUDA GPU")
    return device


def make_repeatable(execution: ExecutionSpec) -> None:
    """Make arithmetic repeat to the bit: deterministic kernels, and a fixed number of threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # It would write NaN into all memory that PyTorch allocates, to betray code that reads what nobody wrote: a tenth of
    # the time of a step on a CPU, for nothing that a run depends on.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(execution.threads or len(os.sched_getaffinity(0)))
