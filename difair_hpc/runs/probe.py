"""What the machine around this process offers to runs, for `difair doctor`; a login node and a compute node differ."""

import fcntl
import os
import platform
import re
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.runs.cpus import usable_cpus


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
    """CPUs that this process may use, by its affinity and the quota of its cgroup."""
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
        cpus=usable_cpus(),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
    )


def covers(archs: Sequence[str], major: int, minor: int) -> bool:
    """Whether code for these runs on a GPU: sm_75 on 7.5 up to 7.9, compute_75 on all from 7.5 on."""
    built = [(kind, int(number)) for kind, number in re.findall(r"\b(sm|compute)_(\d+)\b", " ".join(archs))]
    return any(number <= major * 10 + minor and (kind == "compute" or number // 10 == major) for kind, number in built)


def file_abilities(folder: Path) -> dict[str, str]:
    """Try in a folder what the engine asks of a file system; return what each said: nothing where it is possible.

    Nothing is left behind. The keys are write, fsync, rename, hard link and flock.
    """
    said = {name: "" for name in ("write", *_TRIALS)}
    try:
        with tempfile.TemporaryDirectory(prefix=".difair-doctor-", dir=folder) as place:
            first = Path(place) / "first"
            first.write_bytes(b"x")
            for name, attempt in _TRIALS.items():
                said[name] = _complaint(attempt, first)
    except OSError as error:
        said["write"] = error.strerror or str(error)
    return said


def _complaint(attempt: Callable[[Path], object], file: Path) -> str:
    try:
        attempt(file)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _fsync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _flock(file: Path) -> None:
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _rename(file: Path) -> None:
    copy = file.with_name("copy")
    copy.write_bytes(b"y")
    copy.replace(file)


_TRIALS: Mapping[str, Callable[[Path], object]] = {
    "fsync": _fsync,
    "rename": _rename,
    "hard link": lambda file: file.with_name("second").hardlink_to(file),
    "flock": _flock,
}
