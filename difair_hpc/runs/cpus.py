"""How many CPUs this process may use: its affinity, and the quota of its cgroup and of all around that.

A run with more threads than that is not a little slower: they spin while they wait for each other. An epoch of digits
with 4 threads on 2 CPUs took 46 s in place of 3.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from difair_hpc.files import read_text

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """Return how many threads this process can execute at once, at least 1; of a part of a CPU no thread is made.

    Args:
        cgroups: Where the cgroups are mounted.
        own: Names those of this process, as /proc/self/cgroup does.
    """
    shares = [len(os.sched_getaffinity(0)), *_quotas(cgroups, own)]
    return max(1, int(min(shares)))


def usable_threads(asked: int | None, *, cpus: int | None = None) -> int:
    """Return how many threads a run is to have that asks for a number (None: for all that it may use).

    Args:
        asked: What the profile or the command says.
        cpus: That it may use; None: those of this process.
    """
    most = usable_cpus() if cpus is None else cpus
    return most if asked is None else max(1, min(asked, most))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Yield the CPUs of each quota that holds for this process, of both versions of cgroups."""
    for line in read_text(own).splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            for base in (cgroups, cgroups / "unified"):
                yield from _found(base, path, _quota_2)
        elif "cpu" in kinds.split(","):
            for base in (cgroups / kinds, cgroups / "cpu"):
                yield from _found(base, path, _quota_1)


def _found(base: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    """Yield the quotas of a cgroup and all above it, up to what is mounted: in a container that is its own."""
    folder = base / path.lstrip("/")
    inside = [one for one in (folder, *folder.parents) if one.is_relative_to(base)]
    yield from (quota for one in inside if (quota := read(one)) is not None)


def _quota_2(folder: Path) -> float | None:
    return _share(*read_text(folder / "cpu.max").split()[:2])


def _quota_1(folder: Path) -> float | None:
    return _share(*(read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")))


def _share(quota: str = "", period: str = "") -> float | None:
    """Return quota over period; None where there is no limit (`max`, -1), or nobody can read it."""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)
