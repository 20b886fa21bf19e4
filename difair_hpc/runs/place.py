"""Where an attempt runs: its job, node, log and time limit, as the environment of the process tells."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

AGAIN = 85
"""Exit code by which the job's script knows that the job's time is up and SLURM should give it another turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The job around this process; without one all but `node` is empty."""

    job: str = ""
    """4711_3 (array and task) on SLURM, the number of submitit's controller locally."""
    restart: int = 0
    """How often SLURM has started this job again."""
    node: str = ""
    """The node's name in SLURM's words, else the host's."""
    log: str = ""
    """Name, without .err or .out, of the job's logs in the jobs folder of the output root."""
    offset: int = 0
    """Size of the error log, bytes, when the attempt began: a requeued job appends to it."""
    ends: float | None = None
    """When SLURM ends the job, seconds since 1970; None: no limit is known."""


def here(root: Path, *, minutes: float | None = None, since: float | None = None) -> Place:
    """Return the place of this process.

    Args:
        root: Output root; jobs log to its folder jobs.
        minutes: Time limit of the job, for a SLURM that does not tell when a job ends.
        since: When the job's process began, seconds since 1970.
    """
    env = os.environ
    if "SLURM_ARRAY_JOB_ID" in env:
        job = f"{env['SLURM_ARRAY_JOB_ID']}_{env.get('SLURM_ARRAY_TASK_ID', '0')}"
        log = f"{job}_{env.get('SLURM_PROCID', '0')}_log"
        restart, node = int(env.get("SLURM_RESTART_COUNT", "0")), env.get("SLURMD_NODENAME", socket.gethostname())
    elif "SUBMITIT_LOCAL_JOB_ID" in env:
        job, restart, node = env["SUBMITIT_LOCAL_JOB_ID"], 0, socket.gethostname()
        log = f"{job}_{env.get('SUBMITIT_LOCAL_GLOBALID', '0')}_log"
    else:
        return Place(node=socket.gethostname())
    path = root / "jobs" / f"{log}.err"
    offset = path.stat().st_size if path.exists() else 0
    return Place(job=job, restart=restart, node=node, log=log, offset=offset, ends=_end(env, minutes, since))


def _end(env: Mapping[str, str], minutes: float | None, since: float | None) -> float | None:
    if "SLURM_JOB_END_TIME" in env:  # SLURM 22.05 does not tell it
        return float(env["SLURM_JOB_END_TIME"])
    return since + 60 * minutes if minutes is not None and since is not None else None
