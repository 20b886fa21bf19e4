"""Where an attempt runs: its job, node, log and time limit, as the environment of the process tells.

SLURM's variables outlive their job in a shell that was started there, and a user may start local runs in a job of his
own. So a job's number and log are taken from them only in what our own job script has started.
"""

import math
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.files import read_tail
from difair_hpc.folders import entry, exists, own_place

AGAIN = 85
"""Exit code by which the job's script knows that the job's time is up and SLURM should give it another turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The job around this process; without one all but `node` is empty."""

    job: str = ""
    """4711_3 (array and task) on SLURM, local-3f2a91 on the user's machine."""
    restart: int = 0
    """How often SLURM has started this job again."""
    node: str = ""
    """The node's name in SLURM's words, else the host's."""
    log: str = ""
    """Name, without .err or .out, of the job's logs in its user's `logs_folder`."""
    offset: int = 0
    """Size of the error log, bytes, when the attempt began: a requeued job appends to it."""
    ends: float | None = None
    """When SLURM ends the job or the allocation around it, seconds since 1970; None: no limit is known."""


def here(
    root: Path, *, slurm: bool = False, local: str = "", minutes: float | None = None, since: float | None = None
) -> Place:
    """Return the place of this process.

    Args:
        root: Output root; jobs log to its folder jobs.
        slurm: Whether our own SLURM job has started it, so that SLURM's variables speak of its own job.
        local: Id of the job of ours around this process, where it is one of this machine.
        minutes: Time limit of the job, for a SLURM that does not tell when a job ends.
        since: When the job's process began, seconds since 1970.
    """
    env = os.environ
    ends = allocation_end()
    if ends is None and minutes is not None and since is not None:
        ends = since + 60 * minutes
    if slurm and "SLURM_ARRAY_JOB_ID" in env:
        job = f"{env['SLURM_ARRAY_JOB_ID']}_{env.get('SLURM_ARRAY_TASK_ID', '0')}"
        log = f"{job}_{env.get('SLURM_PROCID', '0')}_log"
        restart, node = int(env.get("SLURM_RESTART_COUNT", "0")), env.get("SLURMD_NODENAME", socket.gethostname())
    elif local:
        job, restart, node, log = local, 0, socket.gethostname(), f"{local}_0_log"
    else:
        return Place(node=socket.gethostname(), ends=ends)
    kept = entry(log_file(root, f"{log}.err"))
    offset = 0 if kept is None else kept.st_size
    return Place(job=job, restart=restart, node=node, log=log, offset=offset, ends=ends)


def logs_folder(root: Path) -> Path:
    """Return where the jobs of this user log to: SLURM opens their logs by name."""
    return own_place(root) / "jobs"


def log_file(root: Path, name: str) -> Path:
    """Return the path of a log by its name: this user's own, else one that was kept in the output root."""
    path = logs_folder(root) / name
    return path if own_place(root) == root.absolute() or exists(path) else root / "jobs" / name


def last_words(log: Path) -> str:
    """Return the last lines of a job's log, or nothing."""
    return "\n".join(read_tail(log, most=20_000).splitlines()[-5:])


def allocation_end() -> float | None:
    """Return when SLURM ends the job around this process, seconds since 1970.

    None: there is none, SLURM does not tell (22.05), or the variable is left over from one that has ended.
    """
    text = os.environ.get("SLURM_JOB_END_TIME", "")
    try:
        end = float(text)
    except ValueError:
        return None
    return end if time.time() < end < math.inf else None
